"""evaluate: how close and how safe a set of synthetic records is, as `report.json` and one self-contained page.

Two passes over training, holdout and synthetic records: a survey, from which the schema is inferred, and a tally against it.
Both keep sketches, counts and samples of bounded size, so memory does not grow with the sets. What needs whole records
(classifier, near copies) works on samples chosen by hash.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json, replace_directory, write_bytes, write_json
from linesmith.core.artifacts.manifest import FORMAT_VERSION, versions, write_manifest
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, locked, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_QUALITY, DataError, ParameterError
from linesmith.pipelines.evaluate.context import not_covered, run_context
from linesmith.pipelines.evaluate.memorization import measure_run_memorization
from linesmith.pipelines.evaluate.sets import EvaluationSets, Reading, find_evaluation_sets, run_evaluation_sets
from linesmith.pipelines.remote.local_paths import (
    accepts_remote_run_directory,
    local_run,
    reported,
    set_filesystem_options,
)
from linesmith.pipelines.stage_report import StageReport, measured
from linesmith.transforms.storage.addresses import is_remote

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.evaluation.closeness import Evidence

_log = logging.getLogger("linesmith")
REPORT, PAGE = "report.json", "index.html"
REPORT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What may be chosen.

    Attributes:
        roles: roles of fields by name, where they shall not be inferred.
        target: the field to predict; None chooses one.
        fail_under_closeness, fail_under_privacy: least scores; below them the exit code is 3.
        sample: most records and identifiers to sample from each set.
        overwrite: replace a report that is there.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    fail_under_closeness: float | None = None
    fail_under_privacy: float | None = None
    sample: int = 20_000
    overwrite: bool = False


def check_libraries() -> None:
    """Refuse without the packages of the extra `evaluate`.

    Raises:
        ParameterError: one is missing.
    """
    missing = missing_libraries()
    if missing:
        raise ParameterError(
            f"LS106: evaluate needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'linesmith[evaluate]'.",
            code="LS106",
        )


def missing_libraries() -> list[str]:
    """Packages that evaluate needs and that are not installed."""
    return [
        name for name in ("datasketch", "datasketches", "matplotlib", "scipy", "sklearn") if find_spec(name) is None
    ]


@accepts_remote_run_directory("evaluate")
def evaluate_run(
    config: TensorFlowConfig, beam_args: Sequence[str] = (), settings: EvaluationSettings | None = None
) -> StageReport:
    """Evaluate what a run directory generated. The report goes to `report/`, with differential privacy to `private/report/`.

    Raises:
        DataError: training data or output are missing, the report is there already, or another process writes.
    """
    run = run_directory(config)
    trained = config_from_model_dir(run.root)
    with locked(RunDirectory(run.root, trained.dp)):
        return evaluate_run_locked(trained, beam_args, settings or EvaluationSettings())


def report_directory(config: TensorFlowConfig) -> Path:
    """Where the report of a run lies: it quotes and counts raw records, so with privacy it is among what never leaves."""
    return RunDirectory(run_directory(config).root, config.dp).raw / "report"


def evaluate_run_locked(
    config: TensorFlowConfig, beam_args: Sequence[str], settings: EvaluationSettings
) -> StageReport:
    """`evaluate_run` for a caller that holds the lock; `config` is that of the trained model."""
    run = run_directory(config)
    place = report_directory(config)
    check_overwrite_allowed(place, "report", settings.overwrite)
    with measured("evaluate") as report:
        sets = run_evaluation_sets(config, run)
        scratch = run.temporary / "evaluate"

        def context(evidence: Evidence) -> dict[str, Any]:
            return {**run_context(config, run), "memory": measure_run_memorization(config, run, evidence)}

        _evaluate(sets, place, scratch, beam_args, settings, context, report)
    return report


def evaluate_files(
    paths: dict[str, Sequence[str]],
    output: str,
    reading: Reading,
    beam_args: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
) -> StageReport:
    """Evaluate any three sets; the report goes to `output`.

    Args:
        paths: files of `training`, `holdout` and `synthetic`; the holdout may be missing.
        reading: how lines become records.

    Raises:
        DataError: a file cannot be used, or a report is there already.
    """
    settings = settings or EvaluationSettings()
    if any(is_remote(path) for given in paths.values() for path in given):
        set_filesystem_options(beam_args)
    with local_run(output, "files", beam_args) as (root, mirror):
        place = RunDirectory(Path(root))
        with locked(place):
            check_overwrite_allowed(place.root / "report", "report", settings.overwrite)
            with measured("evaluate") as report:
                sets = find_evaluation_sets(paths, reading, place.temporary / "fetched")
                _evaluate(
                    sets, place.root / "report", place.temporary / "evaluate", beam_args, settings, lambda _: {}, report
                )
        return reported(report, mirror)


def _evaluate(
    sets: EvaluationSets,
    place: Path,
    scratch: Path,
    beam_args: Sequence[str],
    settings: EvaluationSettings,
    describe_run: Callable[[Evidence], dict[str, Any]],
    report: StageReport,
) -> None:
    from linesmith.pipelines.evaluate.report.page import render
    from linesmith.runners import check_shared_paths, pipeline_options, runner_name

    options = pipeline_options(beam_args)
    check_shared_paths(options, {"--output": place}, {"--output: its folder for counts": scratch})
    for name, files in sets.files.items():
        for file in files:
            check_shared_paths(options, {f"--{name}": file})
    shutil.rmtree(scratch, ignore_errors=True)
    new = scratch / "report"
    new.mkdir(parents=True)
    try:
        evidence = gather(sets, options, scratch, settings)
        body = describe(evidence, settings)
        body["context"] = context = describe_run(evidence)
        body["provenance"] = {"files": sets.files, "runner": runner_name(options), "versions": versions()}
        body["not_covered"] = not_covered(body, context)
        write_json(new / REPORT, body)
        write_bytes(new / PAGE, render(body).encode("utf-8"))
        replace_directory(new, place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_manifest(place, "evaluate", {"complete": True, "scores": body["scores"], "verdict": body["verdict"]})
    _fill_report(report, body, place, settings)


def gather(sets: EvaluationSets, options: PipelineOptions, scratch: Path, settings: EvaluationSettings) -> Evidence:
    """Both passes.

    Raises:
        DataError: the training or the synthetic set holds no record.
    """
    from linesmith.evaluation.closeness import Evidence
    from linesmith.evaluation.leakage import choose_tracked_hashes
    from linesmith.evaluation.schema import CATEGORY, infer_schema
    from linesmith.evaluation.schema_counts import CountPlan
    from linesmith.transforms.profile_evaluation_sets import CountFn, ProfileFn

    surveys = _pass(sets, options, scratch / "survey", ProfileFn(settings.sample))
    for name, option in (("training", "real"), ("synthetic", "synthetic")):
        if name not in surveys:
            raise DataError(
                f"LS207: the {name} set (--{option}) holds no record; there is nothing to compare.", code="LS207"
            )
    schema = infer_schema(surveys["training"], sets.names, settings.roles)
    probes = choose_tracked_hashes(surveys, [n for n, one in enumerate(schema.fields) if one.role == CATEGORY])
    plan = CountPlan(schema, probes)
    tallies = _pass(sets, options, scratch / "tally", CountFn(plan), plan)
    return Evidence(schema, surveys, tallies)


def _pass(
    sets: EvaluationSets, options: PipelineOptions, directory: Path, combiner: Any, plan: Any = None
) -> dict[str, Any]:
    """One pipeline over all units; what it counted, by set."""
    import apache_beam as beam

    from linesmith.evaluation.serialization import unpack
    from linesmith.transforms.profile_evaluation_sets import ProfileEvaluationSets
    from linesmith.transforms.worker_errors import reraise_worker_errors

    directory.mkdir(parents=True)
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        _ = pipeline | ProfileEvaluationSets(sets.units, combiner, directory)
    found = {name: directory / f"{name}.json" for name in ("training", "holdout", "synthetic")}
    if sets.units and not any(path.is_file() for path in found.values()):
        raise DataError(
            f"LS402: the pipeline ended but its results are not in '{directory}': its workers do not share this file system, "
            "or the sets are empty.",
            code="LS402",
        )
    return {name: unpack(read_json(path, "the counts"), plan) for name, path in found.items() if path.is_file()}


def describe(evidence: Evidence, settings: EvaluationSettings) -> dict[str, Any]:
    """The content of `report.json`, but for context and provenance."""
    from linesmith.evaluation import closeness
    from linesmith.evaluation.classifiers import tell_apart, usefulness
    from linesmith.evaluation.histograms import pictures, samples
    from linesmith.evaluation.leakage import measure_leakage
    from linesmith.evaluation.schema import schema_to_json
    from linesmith.evaluation.verdict import components, scores, verdict

    parts: dict[str, Any] = {
        "fields": closeness.compare_fields(evidence),
        "pairs": closeness.compare_pairs(evidence),
        "relations": closeness.compare_relations(evidence),
        "text": closeness.compare_text(evidence),
        "validity": closeness.compare_validity(evidence),
        "safety": measure_leakage(evidence),
        "classifier": tell_apart(evidence),
        "usefulness": usefulness(evidence, settings.target),
    }
    found = components(parts)
    sizes = {name: tally.records for name, tally in evidence.tallies.items()}
    values = scores(found, parts["safety"], sizes.get("holdout", 0))
    safety = parts.pop("safety")
    return {
        "format_version": FORMAT_VERSION,
        "report_version": REPORT_VERSION,
        "contains_raw_data": True,
        "scores": values,
        "verdict": verdict({**parts, "safety": safety}, found, values, sizes),
        "sets": {
            name: {"records": size, "distinct": round(evidence.surveys[name].distinct.estimate)}
            for name, size in sizes.items()
        },
        "schema": schema_to_json(evidence.schema),
        "closeness": {"components": found, **parts},
        "safety": safety,
        "pictures": pictures(evidence),
        "samples": samples(evidence),
    }


def _fill_report(report: StageReport, body: dict[str, Any], place: Path, settings: EvaluationSettings) -> None:
    words, values = body["verdict"], {name: score["value"] for name, score in body["scores"].items()}
    for name, size in body["sets"].items():
        report.counts[f"{name} records"] = size["records"]
    for name, value in values.items():
        report.counts[name] = "not measured" if value is None else round(value, 3)
    report.outputs = {"report": str(place / PAGE), "figures": str(place / REPORT)}
    report.notices += [
        f"closeness is called {words['closeness']}; privacy: {words['privacy']}",
        words["privacy_reasons"][0],
    ]
    for name, least in (("closeness", settings.fail_under_closeness), ("privacy", settings.fail_under_privacy)):
        value = values[name]
        if least is not None and (value is None or value < least):
            told = "was not measured" if value is None else f"is {value:.3f}"
            report.notices.append(f"{name} {told}, below --fail-under-{name} {least:g}")
            report.exit_code = EXIT_QUALITY
