"""Texts of the privacy statement: what is protected, how units are sampled and split, where the vocabulary comes from."""

from __future__ import annotations

UNIT_DESCRIPTIONS = {
    "record": "one record: one physical line of the input, one training example",
    "user": "one user: all records with the same value in field {field}, of which at most {most} {are} trained on",
}
ADJACENCY_DESCRIPTIONS = {
    "record": "add or remove one record",
    "user": "add or remove one user, with all of its records",
}
SAMPLER_DESCRIPTIONS = {
    "record": "Poisson: each training record is in each step independently with probability sample_rate; never a shuffle, "
    "never truncated",
    "user": "Poisson: each user is in each step independently with probability sample_rate, and all of its records that "
    "are trained on with it; never a shuffle, never truncated",
}
# For estimates made before training; a trained model's statement names `noise.GENERATOR_DESCRIPTION`.
DEFAULT_GENERATOR_DESCRIPTION = "a counter-based generator keyed by a secret 128-bit key; it is not a cryptographic one"
# By `dp_vocabulary`: the text, and the epsilon of the vocabulary itself; None: no bound.
VOCABULARY_DESCRIPTIONS = {
    "bytes": ("public: the 256 bytes and reserved tokens, fixed before any data were read", 0.0),
    "public_file": ("public: bytes, and the characters or pieces of a file that was named as public", 0.0),
    "dp_characters": (
        "bytes, and characters outside ASCII whose noised count of records passed a threshold; each record speaks for at "
        "most 32 of them, every Unicode scalar value is noised, and the cost is in the claim",
        0.0,
    ),
    "raw": ("learned from the raw records; what it reveals is not covered", None),
}
SPLIT_DESCRIPTIONS = {
    "record": "validation and holdout records are set aside by a hash of their own text and take no part in training",
    "user": "users are set aside for validation and holdout by a hash of who they are; their records take no part in training",
}
