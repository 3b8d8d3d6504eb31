"""Command line of Linesmith."""
