"""audit: what training in this way lets out, measured by planting what can be looked for, beside what is claimed.

Three looks. Text canaries go with real records through the same tokenize and train as any input, and are looked for in what
comes out. With differential privacy, canary gradients go into the trainer's sums, and neighbouring data sets through its
clipping. All of it on a few records and a small network of the run's own settings, so that it takes seconds: what is audited is
the way of training, not the one model that lies there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import replace_directory, write_json
from linesmith.core.artifacts.manifest import FORMAT_VERSION, read_manifest, versions, write_manifest
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, locked, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_QUALITY, DataError, ParameterError
from linesmith.model.privacy.audit.findings import findings, verdict
from linesmith.pipelines.audit.attacks import attack_text_canaries, audit_trainer, insert_text_canaries
from linesmith.pipelines.audit.settings import AuditSettings
from linesmith.pipelines.evaluate.refresh import PAGE, add_audit_to_report
from linesmith.pipelines.stage_report import StageReport, measured

AUDIT = "audit.json"
AUDIT_VERSION = 1


def audit(config: TensorFlowConfig, settings: AuditSettings | None = None) -> StageReport:
    """Audit the way in which a run directory's model was trained. The result goes to `audit/`, with privacy to `private/audit/`.

    Exit code 3 where a claim is refuted.

    Raises:
        ParameterError: an optional package is missing.
        DataError: training data are missing or too few, an audit is there already, or another process writes.
    """
    settings = settings or AuditSettings()
    run = check_audit(config, settings)
    trained = config_from_model_dir(run.root)
    with locked(run), measured("audit") as report:
        place = run.raw / "audit"
        scratch = run.temporary / "audit"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            lines = training_lines(run, scratch, settings.records)
            body = run_audit(trained, lines, scratch, settings)
            new = scratch / "new"
            new.mkdir()
            write_json(new / AUDIT, body)
            replace_directory(new, place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        write_manifest(place, "audit", {"complete": True, "verdict": body["verdict"]})
        _fill_report(report, body, place)
        if add_audit_to_report(run, body):
            report.outputs["report"] = str(run.raw / "report" / PAGE)
    return report


def check_audit(config: TensorFlowConfig, settings: AuditSettings) -> RunDirectory:
    """The run directory of an audit that can be made; cheap.

    Raises:
        ParameterError: an optional package is missing.
        DataError: there is no run, or an audit already.
    """
    _check_libraries()
    root = run_directory(config).root
    run = RunDirectory(root, config_from_model_dir(root).dp)
    check_overwrite_allowed(run.raw / "audit", "audit", settings.overwrite)
    return run


def run_audit(
    trained: TensorFlowConfig, lines: Sequence[str], scratch: Path, settings: AuditSettings
) -> dict[str, Any]:
    """The content of `audit.json`.

    Args:
        trained: settings of the run.
        lines: real records.
        scratch: an empty directory to work in.
    """
    place = scratch / "run"
    canaries = insert_text_canaries(trained, lines, place, settings)
    # Side by side, in the thread that may be interrupted and in another: neither keeps all cores busy by itself.
    with ThreadPoolExecutor(max_workers=1) as beside:
        inside = beside.submit(audit_trainer, trained, lines, place, settings) if trained.dp else None
        text = attack_text_canaries(trained, lines, canaries, place, settings)
    gradients, neighbours = (None, None) if inside is None else inside.result()
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "audit_version": AUDIT_VERSION,
        "contains_raw_data": False,
        "claim": text.pop("claim"),
        "text": text,
        "gradients": None if gradients is None else {**asdict(gradients), "refuted": gradients.refuted},
        "neighbours": None if neighbours is None else {**asdict(neighbours), "refuted": neighbours.refuted},
        "settings": asdict(settings),
        "versions": versions(),
    }
    return {**body, **verdict(body)}


def training_lines(run: RunDirectory, scratch: Path, count: int) -> list[str]:
    """Some of the records that a run was trained on: those of the lowest hash.

    Raises:
        DataError: there are no training data, or fewer than ten.
    """
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training.token_store import build_token_store

    data = read_manifest(run.training_data)
    if data is None:
        raise DataError(
            f"LS201: '{run.training_data}' holds no training data, from which canaries are made; audit where the run was made.",
            code="LS201",
        )
    tokenizer = load_tokenizer(run.tokenizer)
    store = build_token_store(
        sorted(run.training_data.glob("train-*.tfrecord.gz")),
        scratch / "ids",
        vocab_size=tokenizer.total_vocab_size,
        expected=data["counts"]["splits"]["train"]["records"],
    )
    if len(store) < 10:
        raise DataError(f"LS207: {len(store)} training records are too few to plant canaries among.", code="LS207")
    ranks = range(min(count, len(store)))
    return [tokenizer.decode_from_ids([int(i) for i in store.record(rank)[1:-1]]) for rank in ranks]


def _check_libraries() -> None:
    if find_spec("scipy") is None:
        raise ParameterError(
            "LS106: audit needs scipy, which is not installed: pip install 'linesmith[evaluate]'.", code="LS106"
        )


def _fill_report(report: StageReport, body: dict[str, Any], place: Path) -> None:
    claim, inside = body["claim"], body["gradients"]
    report.counts["epsilon proved by text canaries"] = round(body["text"]["bound"]["epsilon"], 3)
    report.counts["claimed"] = "nothing" if claim is None else round(float(claim["epsilon"]), 3)
    if inside is not None:
        report.counts["epsilon proved by canary gradients"] = round(inside["bound"]["epsilon"], 3)
        report.counts["claimed for them"] = round(inside["epsilon"], 3)
    report.outputs = {"audit": str(place / AUDIT)}
    report.notices = [body["verdict"], *findings(body)]
    if body["refuted"]:
        report.exit_code = EXIT_QUALITY
