"""Beam imports this in each worker process (`--beam_plugins`): TensorFlow gets the share of the cores that is the worker's.

The number must be set before TensorFlow is first used, and a worker process knows it from the pipeline options alone.
"""

from __future__ import annotations

import os

from apache_beam.options.value_provider import RuntimeValueProvider

_CAPS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def cap_threads() -> None:
    """Say to TensorFlow, where nothing was said yet, how many threads the options give each worker."""
    threads = (RuntimeValueProvider.runtime_options or {}).get("threads_per_worker")
    if threads:
        for name in _CAPS:
            os.environ.setdefault(name, str(int(threads)))


cap_threads()
