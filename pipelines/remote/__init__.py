"""Work on run directories in a bucket through a local copy."""
