"""Training as a Beam step on one worker: the machine that submits the pipeline only waits.

The step runs `train_locked`, as this process would. A runner may repeat it when its worker is lost: the second attempt waits
until the first one's lease expires, and then resumes from its last checkpoint.
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

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.kept_inputs import copy_inputs
from linesmith.core.artifacts.run_directory import run_directory, workspace
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError, ParameterError, error_from_dict
from linesmith.pipelines.stage_report import StageReport, measured_stage
from linesmith.pipelines.train.local import train_locked

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_log = logging.getLogger("linesmith")
_MIN_RAM = "4GB"
_POLL_SECONDS = 2.0


def worker_training_options(beam_args: Sequence[str]) -> PipelineOptions | None:
    """Return the pipeline options for training on a worker, or None where this process trains.

    `--train_on worker` or `--train_on driver` decides; by default only a Flink cluster trains on a worker.

    Args:
        beam_args: Beam pipeline options, as on a command line.
    """
    from linesmith.runners import pipeline_options, runner_name
    from linesmith.runners.linesmith_options import LinesmithOptions

    if not beam_args:
        return None
    options = pipeline_options(beam_args)
    train_on = options.view_as(LinesmithOptions).train_on
    if train_on is None:
        from apache_beam.options.pipeline_options import PortableOptions

        # With LOOPBACK, the workers of a Flink job are threads of this process.
        loopback = options.view_as(PortableOptions).environment_type == "LOOPBACK"
        train_on = "worker" if runner_name(options) == "FlinkRunner" and not loopback else "driver"
    if train_on == "driver":
        return None
    # One worker, with all the cores of its machine.
    return pipeline_options([*beam_args, "--parallelism=1", "--sdk_worker_parallelism=1"])


def train_on_worker(config: TensorFlowConfig, options: PipelineOptions) -> StageReport:
    """Run `train_locked` on one worker, for a caller that holds the run directory's lock.

    Args:
        config: the settings, with local paths.
        options: as `worker_training_options` gives them.

    Returns:
        The report of the training on the worker, with this process's wall time and the larger of both peak memories.

    Raises:
        ParameterError: LS101, `epoch_callback` or `show_samples` is set, which a worker cannot serve.
        DataError: as `train_locked`; LS402, the report is not in the run directory.
        InterruptedRunError: the worker was asked to stop before training ended.
    """
    from linesmith.runners import check_shared_paths
    from linesmith.transforms.worker_errors import reraise_worker_errors

    if config.epoch_callback is not None:
        raise ParameterError(
            "LS101",
            "epoch_callback",
            "a function of this process, and training runs on a worker",
            "Leave it out, or give --train_on driver.",
        )
    if config.show_samples:  # a worker's output is a log, which must not hold the text of a record
        raise ParameterError(
            "LS101",
            option_text("show_samples", config.show_samples),
            "shows records on this terminal, and training runs on a worker",
            "Leave it out, or give --train_on driver.",
        )
    root = run_directory(config).root.absolute()
    check_shared_paths(options, {"--output": root})
    report_file = root / ".tmp" / "train.json"
    report_file.parent.mkdir(parents=True, exist_ok=True)
    report_file.unlink(missing_ok=True)
    # The worker need not see the paths of schema and rules, but it sees the run directory.
    copies = {name: str(path) for name, path in copy_inputs(config, report_file.with_name("inputs")).items()}
    settings = json.dumps({**config.as_dict(), **copies, "checkpoint_dir": str(root)})
    with measured_stage("train") as report:
        with (
            _log_epochs(workspace(config).history),
            reraise_worker_errors(),
            beam.Pipeline(options=options) as pipeline,
        ):
            _ = pipeline | "Settings" >> beam.Create([settings]) | TrainModel(str(report_file), options)
        result = _read_result(report_file)
    if "error" in result:
        raise error_from_dict(result)
    report.counts, report.outputs, report.notices = result["counts"], result["outputs"], result["notices"]
    report.exit_code = result["exit_code"]
    report.peak_memory_bytes = max(report.peak_memory_bytes, result["peak_memory_bytes"])
    return report


class TrainModel(beam.PTransform):
    """Settings as JSON → nothing; the model is in the run directory, and the report in a file.

    Args:
        report_file: path of the report or of the error, which driver and worker share.
        options: pipeline options, from which the step's resource hints are taken (`--train_accelerator`).
    """

    def __init__(self, report_file: str, options: PipelineOptions) -> None:
        super().__init__()
        from linesmith.runners.linesmith_options import LinesmithOptions

        self._report_file = report_file
        accelerator = options.view_as(LinesmithOptions).train_accelerator
        self._hints = {"min_ram": _MIN_RAM, **({"accelerator": accelerator} if accelerator else {})}

    def expand(self, settings: beam.PCollection[str]) -> beam.PCollection[None]:
        """Train once per element."""
        step = beam.ParDo(_TrainFn(self._report_file)).with_resource_hints(**self._hints)
        # The reshuffle keeps the runner from fusing the step with its source, whose workers have no such hints.
        return settings | "Alone" >> beam.Reshuffle() | "Train" >> step


class _TrainFn(beam.DoFn):
    """Run one training. Errors that a retry would meet again are written to the report file and not raised."""

    def __init__(self, report_file: str) -> None:
        super().__init__()
        self._report_file = report_file

    def process(self, settings: str) -> Iterator[None]:
        """Train with settings as JSON, and write the report."""
        config = TensorFlowConfig(**json.loads(settings))
        try:
            result: dict[str, Any] = asdict(train_locked(config))
        except LinesmithError as error:
            if error.code == "LS203":  # another attempt trains, and will write the report
                raise
            result = error.as_dict()
        write_json(self._report_file, result)
        yield None


def _read_result(report_file: Path) -> dict[str, Any]:
    """Return the fields of the report, or those of an error, as `LinesmithError.as_dict` gives them."""
    if not report_file.is_file():
        raise DataError(
            "LS402",
            None,
            f"training ended but its report is not in '{report_file.parent}': its worker does not share this file system",
            "Give an --output on a file system that driver and workers mount at the same place, or --train_on driver.",
        )
    result: dict[str, Any] = read_json(report_file, "the report of training")
    return result


@contextmanager
def _log_epochs(history: Path) -> Iterator[None]:
    """Log a line for each epoch that the worker adds to its history table while the block runs."""
    ended = threading.Event()

    def watch() -> None:
        logged = 0
        while not ended.wait(_POLL_SECONDS):
            try:
                rows = history.read_text("utf-8").splitlines()[1:]
            except (OSError, UnicodeDecodeError):
                continue
            if len(rows) < logged:  # another training began the table anew
                logged = 0
            for row in rows[logged:]:
                _log.info("train: on a worker, epoch %s", row)
            logged = max(logged, len(rows))

    thread = threading.Thread(target=watch, daemon=True, name="epochs")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
