"""The evaluate stage: how close and how safe a set of synthetic records is, as `report.json` and one self-contained page.

Two passes over training, holdout and synthetic records (`passes.py`): profiles, from which the schema is inferred, and counts
against it. What needs whole records (classifiers, near copies) works on samples chosen by hash.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.addresses import redact_address
from linesmith.core.artifacts.files import replace_directory
from linesmith.core.artifacts.manifest import versions, write_manifest
from linesmith.core.artifacts.other_kind import is_private_run
from linesmith.core.artifacts.params import read_stored_config
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, locked, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_QUALITY, ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.cards.files import refresh_cards
from linesmith.pipelines.evaluate.context import (
    fields_not_compared,
    not_covered,
    refuse_other_claim,
    roles_not_compared,
    run_context,
)
from linesmith.pipelines.evaluate.input_units import EvaluationSets, TextFormat
from linesmith.pipelines.evaluate.memorization import measure_run_memorization
from linesmith.pipelines.evaluate.passes import collect_evaluation_data
from linesmith.pipelines.evaluate.refresh import PAGE_FILE, REPORT_FILE, write_report
from linesmith.pipelines.evaluate.report.content import report_content
from linesmith.pipelines.evaluate.sample import describe_sample, sample_note, sample_synthetic
from linesmith.pipelines.evaluate.sets import find_evaluation_sets, run_evaluation_sets
from linesmith.pipelines.remote.local_paths import (
    config_with_local_paths,
    open_local_run,
    set_filesystem_options,
    with_remote_addresses,
)
from linesmith.pipelines.stage_report import StageReport, measured_stage
from linesmith.transforms.storage.addresses import is_remote

if TYPE_CHECKING:
    from linesmith.evaluation.closeness import EvaluationData


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of the evaluate stage.

    Attributes:
        roles: roles of fields by name; those of the other fields are inferred.
        target: field to predict; None chooses one.
        fail_under_closeness: smallest closeness score; the exit code is 3 below it.
        fail_under_privacy: smallest privacy score; the exit code is 3 below it.
        sample: largest number of records and of identifiers to sample from each set.
        sample_rows: compare this many synthetic records, a uniform sample of all; None: all.
        overwrite: whether to replace an existing report.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    fail_under_closeness: float | None = None
    fail_under_privacy: float | None = None
    sample: int = 20_000
    sample_rows: int | None = None
    overwrite: bool = False


def check_libraries() -> None:
    """Check that the packages of the extra `evaluate` are installed.

    Raises:
        ParameterError: one is missing.
    """
    missing = missing_libraries()
    if missing:
        raise ParameterError(
            "LS106",
            None,
            f"evaluate needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            "Install what is missing: pip install 'linesmith[evaluate]'.",
        )


def missing_libraries() -> list[str]:
    """Return the names of the packages that evaluate needs and that are not installed."""
    return [
        name for name in ("datasketch", "datasketches", "matplotlib", "scipy", "sklearn") if find_spec(name) is None
    ]


@quiet_calls()
def evaluate_run(
    config: TensorFlowConfig,
    beam_args: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
    holdout: Sequence[str] = (),
) -> StageReport:
    """Evaluate what a run directory generated.

    The report goes to `report/` of the run directory, with differential privacy to `private/report/`.

    Args:
        config: names the run directory; everything else is read from the trained model.
        beam_args: options of the Beam pipelines.
        settings: what to evaluate and how; None for the defaults.
        holdout: as `run_evaluation_sets` takes it.

    Returns:
        The stage's report; its exit code is 3 where a score is below its limit.

    Raises:
        DataError: training data or output are missing, the privacy statement is not of this model and its records, the report
            is there already, or another process writes.
    """
    with config_with_local_paths(config, "evaluate", beam_args) as (local_config, mirror):
        run = run_directory(local_config)
        trained, _ = read_stored_config(run.root)
        with locked(RunDirectory(run.root, trained.dp)):
            report = evaluate_run_locked(trained, beam_args, settings or EvaluationSettings(), holdout)
        return with_remote_addresses(report, mirror)


def report_directory(config: TensorFlowConfig) -> Path:
    """Return the report's directory in a run directory.

    The report quotes and counts raw records: with differential privacy it lies among the files that are never published.
    """
    return RunDirectory(run_directory(config).root, config.dp).raw / "report"


def evaluate_run_locked(
    config: TensorFlowConfig, beam_args: Sequence[str], settings: EvaluationSettings, holdout: Sequence[str] = ()
) -> StageReport:
    """Do the work of `evaluate_run` for a caller that holds the lock.

    Args:
        config: configuration of the trained model.
        beam_args: options of the Beam pipelines.
        settings: what to evaluate and how.
        holdout: as `run_evaluation_sets` takes it.
    """
    run = run_directory(config)
    destination = report_directory(config)
    check_overwrite_allowed(destination, "report", settings.overwrite)
    with measured_stage("evaluate") as report:
        sets = run_evaluation_sets(config, run, holdout)
        refuse_other_claim(run)
        scratch = run.temporary / "evaluate"

        def context(data: EvaluationData) -> dict[str, Any]:
            return {**run_context(config, run), "memory": measure_run_memorization(config, run, data)}

        _evaluate(sets, destination, scratch, beam_args, settings, context, report)
        refresh_cards(run)
    return report


@quiet_calls()
def evaluate_files(
    paths: dict[str, Sequence[str]],
    output: str,
    text_format: TextFormat,
    beam_args: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
    headers: Mapping[str, bool] | None = None,
) -> StageReport:
    """Evaluate any three sets of files; the report goes to `report/` in `output`, of a private run to `private/report/`.

    Args:
        paths: files, globs or directories of `training`, `holdout` and `synthetic`; the holdout may be missing.
        output: directory, on this machine or remote.
        text_format: how lines of text files become records.
        beam_args: options of the Beam pipelines.
        settings: what to evaluate and how; None for the defaults.
        headers: whether the text files of a set have a header, by set; for the others `text_format` says it, or it is found out.

    Returns:
        The stage's report; its exit code is 3 where a score is below its limit.

    Raises:
        DataError: a file cannot be used, or a report is there already.
    """
    settings = settings or EvaluationSettings()
    if any(is_remote(path) for files in paths.values() for path in files):
        set_filesystem_options(beam_args)
    with open_local_run(output, "files", beam_args) as (root, mirror):
        run = RunDirectory(Path(root), is_private_run(Path(root)))
        destination, scratch = run.raw / "report", run.temporary / "evaluate"
        with locked(run):
            check_overwrite_allowed(destination, "report", settings.overwrite)
            with measured_stage("evaluate") as report:
                sets = find_evaluation_sets(paths, text_format, run.temporary / "fetched", headers, beam_args)
                report.notices += sets.notes
                _evaluate(sets, destination, scratch, beam_args, settings, lambda _: {}, report)
        return with_remote_addresses(report, mirror)


def _evaluate(
    sets: EvaluationSets,
    destination: Path,
    scratch: Path,
    beam_args: Sequence[str],
    settings: EvaluationSettings,
    describe_run: Callable[[EvaluationData], dict[str, Any]],
    report: StageReport,
) -> None:
    """Run both passes, write the report to `destination` in one step, and fill in the stage's report.

    Args:
        sets: what to read.
        destination: directory of the report; replaced only when the new report is complete.
        scratch: folder for intermediate results; emptied before and removed after.
        beam_args: options of the Beam pipelines.
        settings: what to evaluate and how.
        describe_run: returns `context` of the report.
        report: the stage's report.
    """
    from linesmith.evaluation.advice import next_steps
    from linesmith.runners import check_shared_paths, pipeline_options, runner_name

    options = pipeline_options(beam_args)
    check_shared_paths(options, {"--output": destination}, {"--output: its folder for counts": scratch})
    for name, files in sets.files.items():
        for file in files:
            check_shared_paths(options, {f"--{name}": file})
    shutil.rmtree(scratch, ignore_errors=True)
    new = scratch / "report"
    new.mkdir(parents=True)
    try:
        drawn = None
        if settings.sample_rows is not None:
            drawn = sample_synthetic(sets, settings.sample_rows, options, scratch)
        data = collect_evaluation_data(sets, options, scratch, settings.roles, settings.sample)
        body = report_content(data, settings.target)
        if drawn is not None:
            describe_sample(body, drawn)
        body["context"] = context = describe_run(data)
        sources = {name: [redact_address(file) for file in files] for name, files in sets.files.items()}
        body["provenance"] = {"files": sources, "runner": runner_name(options), "versions": versions()}
        body["not_covered"] = not_covered(body, context)
        body["next_steps"] = next_steps(body)
        write_report(new, body)
        replace_directory(new, destination)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_manifest(destination, "evaluate", {"complete": True, "scores": body["scores"], "verdict": body["verdict"]})
    _fill_stage_report(report, body, destination, settings)


def _fill_stage_report(
    report: StageReport, body: dict[str, Any], directory: Path, settings: EvaluationSettings
) -> None:
    """Put counts, outputs, notices and the exit code into the stage's report."""
    from linesmith.evaluation.verdict import CLOSE, NEAR

    verdict, values = body["verdict"], {name: score["value"] for name, score in body["scores"].items()}
    for name, size in body["sets"].items():
        report.counts[f"{name} records"] = size["records"]
    for name, value in values.items():
        report.counts[name] = "not measured" if value is None else round(value, 3)
    report.outputs = {"report": str(directory / PAGE_FILE), "figures": str(directory / REPORT_FILE)}
    report.notices += [
        f"closeness to the real records: {verdict['closeness']} (a score from {CLOSE:g} is close, from {NEAR:g} near)",
        *(verdict["closeness_reasons"][:1] if verdict["closeness"] == "unclear" else []),
        f"privacy: {verdict['privacy']}",
        verdict["privacy_reasons"][0],
        f"next: {body['next_steps'][0]}",
    ]
    if note := sample_note(body["sets"]):
        report.notices.append(note)
    if roles := body["context"].get("column_roles"):
        report.notices.append(roles_not_compared(roles))
    if body["fields_not_compared"]:
        report.notices.append(fields_not_compared(body))
    for name, limit in (("closeness", settings.fail_under_closeness), ("privacy", settings.fail_under_privacy)):
        value = values[name]
        if limit is not None and (value is None or value < limit):
            result = "was not measured" if value is None else f"is {value:.3f}"
            report.notices.append(f"{name} {result}, below --fail-under-{name} {limit:g}")
            report.exit_code = EXIT_QUALITY
