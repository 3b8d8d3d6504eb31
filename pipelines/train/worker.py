"""Training as a Beam step on one worker, so that a whole run needs nothing of the machine that submits it but its patience.

The step is the same `train_locked` that runs in this process otherwise. A runner may run it again when its worker is lost: the
second attempt waits for the first one's lease to run out, then goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from linesmith.core.artifacts.run_directory import run_directory, workspace
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, InterruptedRunError, LinesmithError, ParameterError
from linesmith.pipelines.stage_report import StageReport, measured

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_log = logging.getLogger("linesmith")
_MIN_RAM = "4GB"
_POLL_SECONDS = 2.0


def train_on_worker(config: TensorFlowConfig, options: PipelineOptions) -> StageReport:
    """`train_locked` on one worker. The run directory's lock is held here.

    Args:
        config: the settings; a callback cannot travel.
        options: complete options; parallelism 1 is what the step needs.

    Raises:
        ParameterError: `epoch_callback` is set.
        DataError: whatever the training raised, or its report is not in the run directory.
        InterruptedRunError: the worker was asked to stop before training ended.
    """
    from linesmith.runners import check_shared_paths
    from linesmith.transforms.worker_errors import reraise_worker_errors

    if config.epoch_callback is not None:
        raise ParameterError(
            "LS101: epoch_callback is a function of this process and training runs on a worker; leave it out, or give "
            "--train_on driver."
        )
    root = run_directory(config).root.absolute()
    check_shared_paths(options, {"--output": root})
    result = root / ".tmp" / "train.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    settings = json.dumps({**config.as_dict(), "checkpoint_dir": str(root)})
    with measured("train") as report:
        with (
            _epochs_told(workspace(config).history),
            reraise_worker_errors(),
            beam.Pipeline(options=options) as pipeline,
        ):
            _ = pipeline | "Settings" >> beam.Create([settings]) | TrainModel(str(result), options)
        told = _read(result)
    _raise_noted(told)
    report.counts, report.outputs, report.notices = told["counts"], told["outputs"], told["notices"]
    report.exit_code = told["exit_code"]
    report.peak_memory_bytes = max(report.peak_memory_bytes, told["peak_memory_bytes"])
    return report


class TrainModel(beam.PTransform):
    """Settings as JSON → nothing; the model lies in the run directory, and its report in `result`.

    Args:
        result: file of the report, which driver and worker share.
        options: where the worker's hints come from: `--train_accelerator`, and the memory that training needs.
    """

    def __init__(self, result: str, options: PipelineOptions) -> None:
        super().__init__()
        from linesmith.runners.linesmith_options import LinesmithOptions

        self._result = result
        accelerator = options.view_as(LinesmithOptions).train_accelerator
        self._hints = {"min_ram": _MIN_RAM, **({"accelerator": accelerator} if accelerator else {})}

    def expand(self, settings: beam.PCollection[str]) -> beam.PCollection[None]:
        step = beam.ParDo(_TrainFn(self._result)).with_resource_hints(**self._hints)
        return settings | "Alone" >> beam.Reshuffle() | "Train" >> step


class _TrainFn(beam.DoFn):
    """Runs one training. An error that a retry would meet again is noted, and not raised."""

    def __init__(self, result: str) -> None:
        super().__init__()
        self._result = result

    def process(self, settings: str) -> Iterator[None]:
        from linesmith.core.artifacts.files import write_json
        from linesmith.pipelines.train.stage import train_locked

        config = TensorFlowConfig(**json.loads(settings))
        try:
            noted: dict[str, Any] = asdict(train_locked(config))
        except LinesmithError as error:
            if error.code == "LS203":  # another attempt trains: its note is the one that counts
                raise
            noted = {"error": type(error).__name__, "message": str(error), "code": error.code}
        write_json(self._result, noted)
        yield None


def _read(result: Path) -> dict[str, Any]:
    from linesmith.core.artifacts.files import read_json

    if not result.is_file():
        raise DataError(
            f"LS402: training ended but its report is not in '{result.parent}': its worker does not share this file system. "
            "Give an --output on a file system that driver and workers mount at the same place, or --train_on driver.",
            code="LS402",
        )
    told: dict[str, Any] = read_json(result, "the report of training")
    return told


def _raise_noted(told: dict[str, Any]) -> None:
    from linesmith.core import errors

    if "error" not in told:
        return
    if told["error"] == InterruptedRunError.__name__:
        raise InterruptedRunError(told["message"])
    kind = getattr(errors, told["error"], DataError)
    raise kind(told["message"], code=told["code"])


@contextmanager
def _epochs_told(history: Path) -> Iterator[None]:
    """Logs a line for each epoch that the worker finishes, as its history table grows."""
    done = threading.Event()

    def watch() -> None:
        seen = 0
        while not done.wait(_POLL_SECONDS):
            try:
                rows = history.read_text("utf-8").splitlines()[1:]
            except (OSError, UnicodeDecodeError):
                continue
            if len(rows) < seen:
                seen = 0
            for row in rows[seen:]:
                _log.info("train: on a worker, epoch %s", row)
            seen = max(seen, len(rows))

    thread = threading.Thread(target=watch, daemon=True, name="epochs")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def on_worker(beam_args: Sequence[str]) -> PipelineOptions | None:
    """Options for training on a worker, or None where it belongs into this process.

    `--train_on worker` or `driver` says so; by default a Flink cluster trains.
    """
    from linesmith.runners import pipeline_options, runner_name
    from linesmith.runners.linesmith_options import LinesmithOptions

    if not beam_args:
        return None
    options = pipeline_options(beam_args)
    wanted = options.view_as(LinesmithOptions).train_on
    if wanted is None:
        from apache_beam.options.pipeline_options import PortableOptions

        loopback = options.view_as(PortableOptions).environment_type == "LOOPBACK"
        wanted = "worker" if runner_name(options) == "FlinkRunner" and not loopback else "driver"
    if wanted == "driver":
        return None
    # One worker, with all the cores that its machine has.
    return pipeline_options([*beam_args, "--parallelism=1", "--sdk_worker_parallelism=1"])
