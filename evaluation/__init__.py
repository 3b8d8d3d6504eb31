"""How close and how safe synthetic records are: the mathematics, without Beam.

Words used throughout:

    sets       `training` (what the model learnt from), `holdout` (real records that it never saw) and `synthetic`.
    record     text whose fields are separated by FIELD_BREAK; values of typed files are written as text first.
    survey     what a first pass over a set gathers: kinds, quantiles, frequent values, samples (`survey.py`).
    schema     what the fields are, inferred from the surveys of the real sets, or given (`schema.py`).
    tally      what a second pass counts against the schema: categories, pairs, relations, probes (`tally.py`).
    distance   0 where two sets agree, 1 where they have nothing in common (`distances.py`).
    gap        share of training records that reappear in the output, less the same share of the holdout: what a model has
               learnt by heart and not by rule (`gaps.py`).

Survey and tally are accumulators: they add batches, merge in any grouping, and stay of bounded size.
"""

if __name__ != "linesmith.evaluation":
    raise ImportError("this package has no name of its own: import linesmith.evaluation")
