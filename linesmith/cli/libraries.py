"""Load the slow libraries, Beam and TensorFlow, once a command needs them, without their start-up messages."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Sequence

from linesmith.cli.options import linesmith_flags

_log = logging.getLogger("linesmith")
_UNUSED = ("matplotlib", "pymongo", "sklearn")
# Beam imports them if they are installed. Pandas is for data frames in pipelines.
_CLOUD_PACKAGES = (
    "google.cloud",
    "google.auth",
    "google.api_core",
    "apitools",
    "boto3",
    "botocore",
    "bson",
    "pandas",
)


def check_beam_options(beam_args: Sequence[str], words: Iterable[object] | None = None) -> None:
    """Refuse unknown options; load Beam only if there are any options to check.

    Args:
        beam_args: the options.
        words: all values and options of the command line, as for `load_beam`; None: the command needs all of Beam.
    """
    if not beam_args:
        return
    from linesmith.core.import_blocker import import_without
    from linesmith.core.library_logging import quiet_import

    with quiet_import(), import_without(*(_UNUSED if words is None else _unused_packages(words))):
        from linesmith.runners import check_beam_args
    check_beam_args(beam_args, linesmith_flags())


def load_libraries() -> None:
    """Load TensorFlow and Beam quietly. With --debug do nothing: the stages load them later and show their messages."""
    _load("TensorFlow and Beam", _UNUSED, "apache_beam", "tensorflow")


def load_beam(words: Iterable[object]) -> None:
    """Load Beam quietly, for commands that do not need TensorFlow. With --debug do nothing, as in `load_libraries`.

    Args:
        words: all values and options of the command line. If none is an address or names a runner, Beam is loaded without what it
            has for clouds, which takes two thirds of the time.
    """
    from linesmith.core.import_blocker import hide

    hide("IPython")  # where it is installed, each pipeline would import it to ask whether it is in a notebook
    _load("Beam", _unused_packages(words), "apache_beam")


def _unused_packages(words: Iterable[object]) -> tuple[str, ...]:
    texts = [str(word) for word in words]
    local = not any("://" in text or text.partition("=")[0] == "--runner" for text in texts)
    return (*_UNUSED, *(_CLOUD_PACKAGES if local else ()))


def _load(named: str, unused: Sequence[str], *modules: str) -> None:
    from linesmith.core.import_blocker import import_without
    from linesmith.core.library_logging import quiet_import

    if _log.isEnabledFor(logging.DEBUG):
        return
    _log.info("loading %s …", named)
    with quiet_import(), import_without(*unused):
        for module in modules:
            importlib.import_module(module)
