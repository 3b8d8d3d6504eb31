"""Tests of the transforms for pipelines of others."""
