"""Judge records by fields, rules, expressions and user-supplied validators."""
