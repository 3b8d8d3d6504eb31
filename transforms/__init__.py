"""Beam PTransforms, thin: each file holds one public transform and its element types."""
