"""Commands whose run directory is in a bucket: it is brought to hand before a command looks at it, and only then."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from linesmith.cli.libraries import check_beam_options
from linesmith.cli.options import Given
from linesmith.core.artifacts.params import read_settings
from linesmith.core.config.tensorflow_config import TensorFlowConfig

_FILES = ("rules", "schema_file", "dp_public_vocabulary", "dp_public_validation", "privacy_ledger")


class LocalRun(Protocol):
    """What a command does with a run directory that may stand for one in a bucket."""

    def check(self, config: TensorFlowConfig) -> None:
        """Refuse settings that cannot be kept there."""

    def then(self, show: Any) -> Any:
        """Shows a stage's report when what it made is where it belongs."""


class _Local:
    """What `MirroredRun` of `pipelines.remote.local_paths` is where nothing lies in a bucket: no library is loaded for it."""

    def check(self, config: TensorFlowConfig) -> None:
        pass

    def then(self, show: Any) -> Any:
        return show


@contextlib.contextmanager
def at_hand(given: Given) -> Iterator[tuple[Given, LocalRun]]:
    """A command with its run directory and its settings file on this machine; those of a bucket are copied.

    Raises:
        ParameterError, DataError: the address cannot be reached, or the store says no.
    """
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(local_settings_file(given))
        output = _output(given.settings, given.config_file)
        if output is None or "://" not in output:
            yield given, _Local()
            return
        _load(given.beam_args)
        from linesmith.pipelines.remote import local_paths as remote_run

        here = stack.enter_context(remote_run.at_hand(output, given.command, given.beam_args))
        yield dataclasses.replace(given, settings={**given.settings, "checkpoint_dir": here.output}), here


@contextlib.contextmanager
def local_output(output: str | None, stage: str, beam_args: Sequence[str] = ()) -> Iterator[tuple[str | None, Any]]:
    """The same for a run directory alone."""
    if output is None or "://" not in output:
        yield output, _Local()
        return
    _load(beam_args)
    from linesmith.pipelines.remote import local_paths as remote_run

    with remote_run.at_hand(output, stage, beam_args) as here:
        yield here.output, here


def with_small_files(config: TensorFlowConfig) -> TensorFlowConfig:
    """A configuration whose small files in buckets have been copied to the run directory, which is local."""
    if not any("://" in str(getattr(config, name)) for name in _FILES):
        return config
    _load(())
    from linesmith.pipelines.remote import local_paths as remote_run

    return remote_run.with_small_files(config)


@contextlib.contextmanager
def local_settings_file(given: Given) -> Iterator[Given]:
    """A command with its settings file on this machine.

    Raises:
        ParameterError, DataError: as `at_hand`.
    """
    if given.config_file is None or "://" not in given.config_file:
        yield given
        return
    _load(given.beam_args)
    from linesmith.pipelines.remote.local_paths import set_filesystem_options
    from linesmith.transforms.storage.addresses import check_address
    from linesmith.transforms.storage.clients import check_reachable
    from linesmith.transforms.storage.objects import fetch

    check_address(given.config_file, "--config")
    set_filesystem_options(given.beam_args)
    check_reachable(given.config_file)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / Path(given.config_file).name
        fetch(given.config_file, copy)
        yield dataclasses.replace(given, config_file=str(copy))


def _output(settings: Mapping[str, Any], config_file: str | None) -> str | None:
    said = dict(settings)
    if "checkpoint_dir" not in said and config_file is not None:
        said = read_settings(config_file)
    output = said.get("checkpoint_dir")
    return None if output is None else str(output)


def _load(beam_args: Sequence[str]) -> None:
    """Beam, its start-up chatter held back, and a check of its options before any is used."""
    from linesmith.core.library_logging import quiet_import

    with quiet_import():
        import apache_beam  # noqa: F401
    check_beam_options(beam_args)
