"""What every room needs: settings, run-directory artifacts, errors and hardware facts. No Beam, no TensorFlow."""

if __name__ != "linesmith.core":
    raise ImportError("this package has no name of its own: import linesmith.core")
