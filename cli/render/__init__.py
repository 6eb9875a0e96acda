"""All that is drawn: the only package that imports Rich. Typed answers in, renderables out."""
