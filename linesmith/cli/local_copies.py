"""Copy a run directory and settings files from buckets to this machine before a command uses them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from linesmith.cli.libraries import check_beam_options
from linesmith.cli.options import CommandLine
from linesmith.core.artifacts.params import read_settings
from linesmith.core.config.tensorflow_config import TensorFlowConfig, path_settings

if TYPE_CHECKING:
    from linesmith.pipelines.remote.mirror import Mirror

_REMOTE_SETTINGS = (*path_settings("small"), "privacy_ledger")


@contextlib.contextmanager
def with_local_run_directory(command_line: CommandLine) -> Iterator[tuple[CommandLine, Mirror | None]]:
    """Yield a command whose run directory and settings file are local, and the mirror of the run directory.

    Args:
        command_line: the command; a run directory or a settings file in a bucket is copied.

    Yields:
        The command with local paths, and the mirror that publishes the run directory; None where it is local anyway.

    Raises:
        ParameterError, DataError: the address cannot be reached, or the store refuses access.
    """
    with contextlib.ExitStack() as stack:
        command_line = stack.enter_context(local_settings_file(command_line))
        output = _output(command_line.settings, command_line.config_file)
        if output is None or "://" not in output:
            yield command_line, None
            return
        _load_beam(command_line.beam_args)
        from linesmith.pipelines.remote.local_paths import open_local_run

        root, mirror = stack.enter_context(open_local_run(output, command_line.command, command_line.beam_args))
        settings = {**command_line.settings, "checkpoint_dir": root}
        yield dataclasses.replace(command_line, settings=settings), mirror


@contextlib.contextmanager
def local_output(output: str, stage: str, beam_args: Sequence[str] = ()) -> Iterator[str]:
    """Yield a local path of a run directory; copy it from its bucket if it is in one."""
    if "://" not in output:
        yield output
        return
    _load_beam(beam_args)
    from linesmith.pipelines.remote.local_paths import open_local_run

    with open_local_run(output, stage, beam_args) as (root, _):
        yield root


def with_fetched_files(config: TensorFlowConfig, command: str) -> TensorFlowConfig:
    """Return a configuration whose small files are copied from their buckets to the run directory, which is local.

    Args:
        config: the settings.
        command: the command, whose files are copied.
    """
    if not any("://" in str(getattr(config, name)) for name in _REMOTE_SETTINGS):
        return config
    _load_beam(())
    from linesmith.pipelines.remote import local_paths

    return local_paths.with_fetched_files(config, command)


@contextlib.contextmanager
def local_settings_file(command_line: CommandLine) -> Iterator[CommandLine]:
    """Yield a command whose settings file is local.

    Raises:
        ParameterError, DataError: as `with_local_run_directory`.
    """
    if command_line.config_file is None or "://" not in command_line.config_file:
        yield command_line
        return
    _load_beam(command_line.beam_args)
    from linesmith.pipelines.remote.local_paths import local_copy

    with local_copy(command_line.config_file, "--config", command_line.beam_args) as copy:
        yield dataclasses.replace(command_line, config_file=str(copy))


def _output(settings: Mapping[str, Any], config_file: str | None) -> str | None:
    if "checkpoint_dir" not in settings and config_file is not None:
        settings = read_settings(config_file)
    output = settings.get("checkpoint_dir")
    return None if output is None else os.path.expanduser(str(output))


def _load_beam(beam_args: Sequence[str]) -> None:
    """Load Beam without its start-up messages, and check its options before any is used."""
    from linesmith.core.library_logging import quiet_import

    with quiet_import():
        import apache_beam  # noqa: F401
    check_beam_options(beam_args)
