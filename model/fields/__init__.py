"""What a network that knows fields sees beside its last token: which rows of its table, for every step of a record."""
