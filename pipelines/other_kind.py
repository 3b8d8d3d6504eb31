"""Replace the files of a training of the other kind (with privacy, or without) before a stage writes beside them."""

from __future__ import annotations

from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.other_kind import files_of_other_kind, holds_training, refuse_other_kind, replace_files
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import LinesmithError
from linesmith.pipelines.stage_report import StageReport


def replace_other_kind(config: TensorFlowConfig, report: StageReport) -> None:
    """Replace the files of the other kind, and enter a plain training in the run directory's ledger before it disappears.

    To be called before the stage decides where it writes: a model that is moved away need not be kept any longer.

    Args:
        config: the settings; without `overwrite` such files are refused.
        report: a notice is appended where files were replaced.

    Raises:
        DataError: LS204, LS215: there are such files and `overwrite` is off; LS306, the ledger is damaged.
    """
    run = run_directory(config)
    found = files_of_other_kind(run)
    if not found:
        return
    refuse_other_kind(config)
    if run.private and holds_training(found, run):
        from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, record_unbounded

        record_unbounded(run.raw / RUN_LEDGER_FILE, RUN_LEDGER_FILE, f"without-dp-{_weights_digest(run)}")
    place = replace_files(found, run)
    before = "without" if run.private else "with"
    what = "its files were deleted" if place is None else f"its model is kept in '{place}', which must not be released"
    report.notices.append(f"a training {before} --dp was replaced here: {what}")


def _weights_digest(run: RunDirectory) -> str:
    """Return what tells one replaced training from another, so that a repetition after a crash enters it once."""
    try:
        return read_model_info(run.root).weights_digest
    except LinesmithError:
        return "unfinished"
