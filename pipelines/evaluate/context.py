"""What a report says beside the figures: how the model was trained and what it claims, and what nobody looked at."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig


def run_context(config: TensorFlowConfig, run: RunDirectory) -> dict[str, Any]:
    """Training history, privacy claim, generation and audit of a run; what is missing is left out."""
    found: dict[str, Any] = {"history": _history(run.history), "private": config.dp}
    privacy = run.model / "privacy.json"
    if privacy.is_file():
        found["privacy"] = read_json(privacy, "the privacy statement")
    for name, place in (("model", run.model), ("synthetic", run.synthetic)):
        manifest = read_manifest(place)
        if manifest is not None:
            found[name] = {
                key: manifest.get(key) for key in ("counts", "seed", "model", "stopped", "complete") if key in manifest
            }
    audit = run.raw / "audit" / "audit.json"
    if audit.is_file():
        found["audit"] = read_json(audit, "the audit")
    found["settings"] = {key: value for key, value in config.as_dict().items() if value is not None and key in _SHOWN}
    return found


_SHOWN = ("vocab_size", "field_delimiter", "rnn_units", "rnn_layers", "epochs", "batch_size", "learning_rate", "seed", "dp",
          "gen_temp", "line_validator", "holdout_fraction", "max_training_time_seconds")  # fmt: skip


def _history(path: Path) -> list[dict[str, float | None]]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as stream:
        return [{key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(stream)]


def not_covered(body: dict[str, Any], context: dict[str, Any]) -> list[str]:
    """What the report does not say anything about, in sentences; depends on what was there to look at."""
    said = []
    if "holdout" not in body["sets"]:
        said.append("There was no holdout: no figure has its best reachable beside it, and privacy was not judged.")
    if "audit" not in context:
        said.append("No audit was made: no canaries were planted, and no lower bound on epsilon was measured.")
    if context.get("memory", {}) is None:  # an older report does not say
        said.append(
            "Whether the model finds records it learnt from easier than others was not measured: too few of either."
        )
    if context.get("private") is False or (context and "privacy" not in context):
        said.append(
            "The model was trained without differential privacy: what the tests do not find is not ruled out by a proof."
        )
    made = body["provenance"]["files"]["synthetic"]
    if context and made and not made[0].endswith(".txt"):
        said.append(
            "The output was read from typed files: a value that was written in another way, as 2.5 for 2.50, is no copy."
        )
    if body["closeness"]["usefulness"] is None:
        said.append("No field could be predicted, so learning from synthetic records was not tested.")
    if body["closeness"]["classifier"]["auc"]["synthetic"] is None:
        said.append("There are too few records for a classifier that tells real from synthetic.")
    relations = len(body["closeness"]["relations"])
    said += [
        "Attributes that can be inferred about a person whose other attributes are known were not tested.",
        "Copies that were reworded, or changed every few characters, are not found: near copies share runs of four characters.",
        "Validation records, which chose the best epoch but were not learnt from, are in neither real set.",
        "Relations between three fields or more are seen by the classifier only.",
    ]
    if not relations:
        said.append("No two fields are numbers, so there are no differences to compare.")
    return said
