"""Where a pipeline runs: each file turns a few plain settings into Beam PipelineOptions."""
