"""Reads a cluster: catalog name, accelerator name, or YAML file, into a Cluster."""
