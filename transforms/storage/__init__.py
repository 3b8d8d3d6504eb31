"""Read and write objects in buckets, with retries and checked addresses."""
