"""Turn a model folder of gretel-synthetics into a run directory that generates, without unpickling or running anything of it."""
