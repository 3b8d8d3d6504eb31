"""Beam PTransforms, thin: each module holds one public transform and its element types."""

if __name__ != "linesmith.transforms":
    raise ImportError("this package has no name of its own: import linesmith.transforms")
