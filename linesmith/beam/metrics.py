"""Metrics that the transforms count, by their documented names.

| namespace          | counter            | what it counts                                                      |
|--------------------|--------------------|---------------------------------------------------------------------|
| linesmith.generate | records_valid      | records                                                             |
|                    | records_missing    | numbers of records that no valid record was found for               |
|                    | attempts           | samples drawn                                                       |
|                    | invalid_REASON     | samples refused, by reason                                          |
|                    | characters         | characters of the records                                           |
|                    | milliseconds       | time that workers generated                                         |
| linesmith.read     | records_read       | records                                                             |
|                    | records_rejected   | lines or rows that are none                                         |
|                    | rejected_REASON    | the same by reason                                                  |
| linesmith.score    | records_scored     | records with a log-likelihood                                       |
|                    | records_impossible | records that the model cannot write, whose log-likelihood is −∞      |

A bundle that a runner repeats after a failure is counted again where a runner reports attempted counts. `RunInference` adds its
own metrics to `linesmith.generate` and `linesmith.score`, such as `num_inferences` and `load_model_latency_milli_secs`.
"""

from __future__ import annotations

from collections.abc import Mapping

from apache_beam.metrics import Metrics

READ, SCORE = "linesmith.read", "linesmith.score"  # that of generation is in `linesmith.transforms.generate_records`


def count(namespace: str, counts: Mapping[str, int]) -> None:
    """Add numbers to the counters of a namespace."""
    for name, number in counts.items():
        Metrics.counter(namespace, name).inc(number)
