"""Load the slow libraries, TensorFlow and Beam, once a command needs them, without their start-up messages."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from linesmith.cli.options import linesmith_flags

_log = logging.getLogger("linesmith")


def check_beam_options(beam_args: Sequence[str]) -> None:
    """Refuse unknown options; load Beam only if there are any options to check."""
    if beam_args:
        from linesmith.core.library_logging import quiet_import

        with quiet_import():
            from linesmith.runners import check_beam_args
        check_beam_args(beam_args, linesmith_flags())


def load_libraries() -> None:
    """Load TensorFlow and Beam quietly. With --debug do nothing: the stages load them later and show their messages."""
    from linesmith.cli.import_blocker import import_without
    from linesmith.core.library_logging import quiet_import

    if _log.isEnabledFor(logging.DEBUG):
        return
    _log.info("loading TensorFlow and Beam …")
    with quiet_import(), import_without("matplotlib", "pymongo", "sklearn"):
        import apache_beam  # noqa: F401
        import tensorflow  # noqa: F401
