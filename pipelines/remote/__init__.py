"""Work on run directories that lie in a bucket by way of a local mirror."""
