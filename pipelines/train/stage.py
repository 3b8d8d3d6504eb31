"""The train stage: trains a model on a run directory's training data, in this process or on one Beam worker."""

from __future__ import annotations

from collections.abc import Sequence

from linesmith.core.artifacts.other_kind import refuse_other_kind
from linesmith.core.artifacts.run_directory import check_overwrite_allowed, locked, run_directory
from linesmith.core.config import preflight
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.remote.local_paths import config_with_local_paths, with_remote_addresses
from linesmith.pipelines.stage_report import StageReport
from linesmith.pipelines.train.local import train_locked
from linesmith.records.table_format import TableFormat


@quiet_calls()
def train_model(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Train on the training data in the run directory.

    An unfinished training of equal settings and data is resumed.

    Args:
        config: the settings; `checkpoint_dir` is the run directory, a path or a bucket address.
        beam_args: Beam pipeline options; where they name a cluster, one of its workers trains.

    Returns:
        Counts and outputs of the training.

    Raises:
        DataError: the training data are missing or damaged, the model is complete and `overwrite` is off, an unfinished
            training has other settings, or the run directory holds files of a training with privacy where this one has
            none, or the reverse.
        InterruptedRunError: Ctrl-C was pressed; the same call resumes.
    """
    with config_with_local_paths(config, "train", beam_args) as (local_config, mirror):
        preflight.check(local_config, "train")
        run = run_directory(local_config)
        with locked(run):
            check_overwrite_allowed(run.model, "model", local_config.overwrite)
            refuse_other_kind(local_config)
            report = train_locally_or_on_worker(local_config, beam_args)
        return with_remote_addresses(report, mirror)


def train_locally_or_on_worker(
    config: TensorFlowConfig, beam_args: Sequence[str] = (), table: TableFormat | None = None
) -> StageReport:
    """Train in this process, or on a Beam worker where the options say so; the caller holds the run directory's lock.

    Args:
        config: the settings, with local paths.
        beam_args: Beam pipeline options.
        table: as `train_locked` takes it; not for a worker.

    Returns:
        Counts and outputs of the training.

    Raises:
        LinesmithError: as `train_model`.
    """
    if beam_args:  # without options training is local, and Beam need not be imported
        from linesmith.pipelines.train.worker import train_on_worker, worker_training_options

        options = worker_training_options(beam_args)
        if options is not None:
            return train_on_worker(config, options)
    return train_locked(config, table)
