"""audit: measure what this way of training reveals, by attacks, and compare it with the claim.

Three attacks. Text canaries go through the same tokenize and train as any record, and are then looked for in model and
vocabulary. With differential privacy, canary gradients are added to the trainer's sums, and neighboring data sets go through
its clipping. All of it uses few records and a small network with the run's own settings, so that it takes seconds: what is
audited is the way of training, not the trained model itself.
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
from linesmith.core.artifacts.params import read_stored_config
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, locked, run_directory
from linesmith.core.artifacts.shapes import CountedManifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_QUALITY, DataError, ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.model.privacy.audit.findings import audit_verdict, findings
from linesmith.pipelines.audit.attacks import attack_text_canaries, audit_trainer, insert_text_canaries, small_config
from linesmith.pipelines.audit.settings import AuditSettings
from linesmith.pipelines.evaluate.refresh import PAGE_FILE, add_audit_to_report
from linesmith.pipelines.stage_report import StageReport, measured_stage

AUDIT_FILE = "audit.json"
AUDIT_VERSION = 1


@quiet_calls()
def audit(config: TensorFlowConfig, settings: AuditSettings | None = None) -> StageReport:
    """Audit the way in which the model of a run directory was trained.

    The result is written to `audit/`, with privacy to `private/audit/`. The exit code of the report is 3 where the claim is
    refuted.

    Args:
        config: names the run directory; everything else is read from the run.
        settings: size of the audit; None: the defaults.

    Returns:
        The stage report, with the verdict and the findings as notices.

    Raises:
        ParameterError: an optional package is missing.
        DataError: training data are missing or too few, an audit exists already, or another process writes.
    """
    settings = settings or AuditSettings()
    run = check_audit(config, settings)
    trained, _ = read_stored_config(run.root)
    with locked(run), measured_stage("audit") as report:
        target = run.raw / "audit"
        scratch = run.temporary / "audit"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            lines = training_lines(run, scratch, settings.records)
            body = run_audit(trained, lines, scratch, settings)
            new = scratch / "new"
            new.mkdir()
            write_json(new / AUDIT_FILE, body)
            replace_directory(new, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        write_manifest(target, "audit", {"complete": True, "verdict": body["verdict"]})
        _fill_report(report, body, target)
        if add_audit_to_report(run, body):
            report.outputs["report"] = str(run.raw / "report" / PAGE_FILE)
    return report


def check_audit(config: TensorFlowConfig, settings: AuditSettings) -> RunDirectory:
    """Return the run directory to audit, after the checks that take no time.

    Args:
        config: names the run directory.
        settings: whether an earlier audit may be replaced.

    Raises:
        ParameterError: an optional package is missing.
        DataError: there is no run, or an audit exists already.
    """
    _check_libraries()
    root = run_directory(config).root
    run = RunDirectory(root, read_stored_config(root)[0].dp)
    check_overwrite_allowed(run.raw / "audit", "audit", settings.overwrite)
    return run


def run_audit(
    trained: TensorFlowConfig, lines: Sequence[str], scratch: Path, settings: AuditSettings
) -> dict[str, Any]:
    """Run all attacks.

    Args:
        trained: settings of the audited run.
        lines: real records.
        scratch: an empty directory to work in.
        settings: size of the audit.

    Returns:
        The content of `audit.json`.
    """
    config = small_config(trained, scratch / "run", settings.seed)
    canaries = insert_text_canaries(config, lines, settings)
    # In parallel, since neither keeps all cores busy by itself; training stays in this thread, which signals can interrupt.
    with ThreadPoolExecutor(max_workers=1) as executor:
        trainer_audit = executor.submit(audit_trainer, config, lines, settings) if trained.dp else None
        text = attack_text_canaries(config, lines, canaries, settings)
    gradients, neighbors = (None, None) if trainer_audit is None else trainer_audit.result()
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "audit_version": AUDIT_VERSION,
        "contains_raw_data": False,
        "claim": text.pop("claim"),
        "text": text,
        "gradients": None if gradients is None else {**asdict(gradients), "refuted": gradients.refuted},
        "neighbours": None if neighbors is None else {**asdict(neighbors), "refuted": neighbors.refuted},
        "settings": asdict(settings),
        "versions": versions(),
    }
    return {**body, **audit_verdict(body)}


def training_lines(run: RunDirectory, scratch: Path, count: int) -> list[str]:
    """Read some of the records that a run was trained on: those of the lowest hash.

    Args:
        run: the run directory.
        scratch: a directory to work in.
        count: most records to read.

    Raises:
        DataError: there are no training data, or fewer than ten records.
    """
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training.token_store import build_token_store

    data = read_manifest(run.training_data, CountedManifest)
    if data is None:
        raise DataError(
            "LS201",
            None,
            f"'{run.training_data}' holds no training data, from which canaries are made",
            "Audit where the run was made.",
        )
    tokenizer = load_tokenizer(run.tokenizer)
    store = build_token_store(
        sorted(run.training_data.glob("train-*.tfrecord.gz")),
        scratch / "ids",
        vocab_size=tokenizer.total_vocab_size,
        expected_records=data["counts"]["splits"]["train"]["records"],
    )
    if len(store) < 10:
        raise DataError(
            "LS207",
            None,
            f"{len(store)} training records are too few to plant canaries among",
            "Audit a run with more records.",
        )
    ranks = range(min(count, len(store)))
    return [tokenizer.decode_from_ids([int(i) for i in store.record(rank)[1:-1]]) for rank in ranks]


def _check_libraries() -> None:
    for library, extra in (("scipy", "evaluate"), ("tensorflow", "train")):
        if find_spec(library) is None:
            found = f"audit needs {library}, which is not installed"
            raise ParameterError("LS106", None, found, f"Install it: pip install 'linesmith[{extra}]'.")


def _fill_report(report: StageReport, body: dict[str, Any], directory: Path) -> None:
    claim, gradients = body["claim"], body["gradients"]
    report.counts["epsilon proved by text canaries"] = round(body["text"]["bound"]["epsilon"], 3)
    report.counts["claimed"] = "nothing" if claim is None else round(float(claim["epsilon"]), 3)
    if gradients is not None:
        report.counts["epsilon proved by canary gradients"] = round(gradients["bound"]["epsilon"], 3)
        report.counts["claimed for them"] = round(gradients["epsilon"], 3)
    report.outputs = {"audit": str(directory / AUDIT_FILE)}
    report.notices = [body["verdict"], *findings(body)]
    if body["refuted"]:
        report.exit_code = EXIT_QUALITY
