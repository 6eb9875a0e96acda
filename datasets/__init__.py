"""Facts only: models, accelerators, clusters, frameworks, published runs, calibrations; each with unit and source."""
