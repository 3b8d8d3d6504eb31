"""What a person runs: one readable file a stage."""
