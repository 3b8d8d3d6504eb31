"""Progress and notes of a call from Python: shown, or only warnings."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from linesmith.core.library_logging import quiet_calls, warnings_only


@contextlib.contextmanager
def messages(progress: bool) -> Iterator[None]:
    """Show what Linesmith logs during a block.

    Args:
        progress: False shows warnings only, and draws no bar.
    """
    with contextlib.ExitStack() as stack:
        if not progress and not logging.getLogger("linesmith").isEnabledFor(logging.DEBUG):
            stack.enter_context(warnings_only())
        stack.enter_context(quiet_calls())
        yield
