"""What all other packages need: settings, artifacts of the run directory, errors, hardware features. No Beam, no TensorFlow."""

if __name__ != "linesmith.core":
    raise ImportError("this package has no name of its own: import linesmith.core")
