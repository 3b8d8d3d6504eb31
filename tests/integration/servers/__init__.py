"""Object stores on the loopback for `make test-buckets`: built from `go.mod` and `go.sum` here, and run from here."""
