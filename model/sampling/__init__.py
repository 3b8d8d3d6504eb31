"""Sampling of token sequences from a trained network, many rows at a time."""
