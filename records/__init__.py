"""Define what a record is: its fields, types, patterns, rules and file formats. No Beam, no TensorFlow."""

if __name__ != "linesmith.records":
    raise ImportError("this package has no name of its own: import linesmith.records")
