"""Compile regular expressions, number ranges and schemas into byte automata."""
