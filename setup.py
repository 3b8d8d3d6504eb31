"""Lets Beam stage this project to remote workers (`--setup_file ./setup.py`); the facts are in pyproject.toml."""

from setuptools import setup

setup()
