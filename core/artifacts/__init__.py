"""Read and write what a run directory holds: manifests, parameters, history, checkpoints, archives."""
