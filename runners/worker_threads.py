"""Limit TensorFlow in a worker process to the worker's share of the cores.

Beam imports this module in each worker (`--beam_plugins`). The number of threads must be set before TensorFlow is first used,
and a worker process can only know it from the pipeline options.
"""

from __future__ import annotations

import os

from apache_beam.options.value_provider import RuntimeValueProvider

_THREAD_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def cap_threads() -> None:
    """Set the environment variables of TensorFlow's threads to `threads_per_worker`, unless they are set already."""
    threads = (RuntimeValueProvider.runtime_options or {}).get("threads_per_worker")
    if threads:
        for name in _THREAD_VARIABLES:
            os.environ.setdefault(name, str(int(threads)))


cap_threads()
