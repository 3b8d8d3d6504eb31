"""Start Python child processes that find the same packages, whatever lies in the working directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def python_command(*arguments: str) -> list[str]:
    """Return the command line of a child interpreter that does not search the working directory.

    Args:
        arguments: arguments of the interpreter, such as `-m`, a module and its arguments.

    Example:
        >>> python_command("-m", "linesmith")[1:]
        ['-P', '-m', 'linesmith']
    """
    # Without -P, `-m` and `-c` put the working directory first, where a user's own `random.py` or `tests.py` may lie.
    return [sys.executable, "-P", *arguments]


def python_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in which a child interpreter searches the same directories as this one, in the same order.

    Args:
        environment: variables to start from; the directories of its `PYTHONPATH` come first.
    """
    own = environment.get("PYTHONPATH", "").split(os.pathsep)
    # An empty entry would be the working directory.
    directories = dict.fromkeys(directory for directory in (*own, *sys.path) if directory)
    return {**environment, "PYTHONPATH": os.pathsep.join(directories)}
