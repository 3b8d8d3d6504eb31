"""Measure how close synthetic records are to real ones and how much of the training data they leak; no Beam here.

Words used throughout:

    sets       `training` (records the model learned from), `holdout` (real records that it never saw) and `synthetic`.
    record     text whose fields are separated by FIELD_BREAK; values of typed files are converted to text first.
    profile    what the first pass over a set collects: value kinds, quantiles, frequent values and samples
               (`dataset_profile.py`).
    schema     the fields and their roles, inferred from the profile of the training set or given (`schema.py`).
    counts     what the second pass counts against the schema: categories, pairs, relations and tracked hashes
               (`schema_counts.py`).
    distance   0 where two sets agree, 1 where they have nothing in common (`distances.py`).
    candidate  a record, identifier or rare value of a real set that may reappear in the output (`leakage_candidates.py`).
    gap        the share of training candidates that reappear in the output minus the same share of holdout candidates:
               what the model memorized, as opposed to what any good model would produce (`leakage.py`).

Profiles and counts are accumulators: they add batches, merge in any grouping, and stay of bounded size.
"""

if __name__ != "linesmith.evaluation":
    raise ImportError("this package has no name of its own: import linesmith.evaluation")
