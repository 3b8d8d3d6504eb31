"""Evaluate a model from Python, in a run directory of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.api.progress import messages
from linesmith.api.report import Report, link_run, read_report
from linesmith.core.errors import DataError

if TYPE_CHECKING:
    from linesmith.api.model import Model

_EVALUATED_ROWS = 10_000
_ARGUMENTS = {"--num-lines": "n"}


def evaluate_model(model: Model, holdout: Any, n: int | None, target: str | None) -> Report:
    """Generate and evaluate; arguments as for `Model.evaluate`."""
    from linesmith.pipelines.evaluate.stage import EvaluationSettings, check_libraries, evaluate_run, report_directory
    from linesmith.pipelines.generate.stage import generate

    check_libraries()
    rows = training_rows(model.directory, model.settings.dp)
    with tempfile.TemporaryDirectory(prefix="linesmith-report-") as scratch, messages(False, _ARGUMENTS):
        root = Path(scratch) / "run"
        root.mkdir()
        link_run(model.directory, root, model.settings.dp)
        config = model.settings.replace(
            checkpoint_dir=str(root), gen_lines=rows if n is None else n, output_format=["text"], partition_by=None,
            iceberg_table=None, iceberg_catalog=None, overwrite=True, num_shards=None,
        )  # fmt: skip
        files = []
        if holdout is not None:
            files = [str(Path(scratch) / "holdout.txt")]
            model._write_records(Path(files[0]), holdout)
        generate(config)
        evaluate_run(config, settings=EvaluationSettings(target=target, overwrite=True), holdout=files)
        return read_report(report_directory(config))


def training_rows(directory: Path, private: bool) -> int:
    """Return the number of training records in a run directory, at most what `evaluate` generates by default.

    Raises:
        DataError: LS201, it holds none.
    """
    from linesmith.core.artifacts.manifest import read_manifest
    from linesmith.core.artifacts.run_directory import RunDirectory
    from linesmith.core.artifacts.shapes import TrainingManifest

    data = RunDirectory(directory, private).training_data
    manifest = read_manifest(data, TrainingManifest)
    if manifest is None:
        raise DataError(
            "LS201",
            None,
            f"'{directory}' holds no training data, without which nothing can be compared",
            "Evaluate the model that fit returned, or load a run directory that was kept whole.",
        )
    return min(_EVALUATED_ROWS, int(manifest["counts"]["splits"]["train"]["records"]))
