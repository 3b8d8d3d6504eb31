"""Validate records by their fields, rules, expressions and user-supplied validators."""
