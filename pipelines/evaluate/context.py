"""What a report says besides the figures: how the model was trained, what it claims, and what was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.history import read_history
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, check_statement, covered_weights
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shapes import Audit, Claim, ManifestShape, RecordsManifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.evaluate.sample import sample_note
from linesmith.records.roles.personal_data import Finding


def refuse_other_claim(run: RunDirectory) -> None:
    """Refuse to show a privacy statement beside a model or records that it does not speak of.

    Args:
        run: the run directory.

    Raises:
        DataError: LS214, the statement is not of this model; LS215, the records are of another model.
    """
    statement = check_statement(run.root)
    if statement is None:
        return
    manifest = read_manifest(run.synthetic) or {}
    if manifest.get("model", {}).get("weights_digest") not in covered_weights(statement, read_model_info(run.root)):
        raise DataError(
            "LS215",
            None,
            f"the records in '{run.synthetic}' are not of the model beside them, whose privacy statement the report would show",
            "Run generate with --overwrite first.",
        )


def run_context(config: TensorFlowConfig, run: RunDirectory) -> dict[str, Any]:
    """Return `context` of the report of a run.

    Args:
        config: configuration of the trained model.
        run: the run directory.

    Returns:
        `history`, `private`, `settings`, `split_texts`, `personal_data`, `column_roles`, and where there are such files
        `privacy`, `model`, `synthetic`, `audit`.
    """
    found: dict[str, Any] = {"history": read_history(run.history), "private": config.dp}
    privacy = run.model / STATEMENT_FILE
    if privacy.is_file():
        found["privacy"] = read_json(privacy, "the privacy statement", Claim)
    for name, directory, shape in (("model", run.model, ManifestShape), ("synthetic", run.synthetic, RecordsManifest)):
        manifest = read_manifest(directory, shape)
        if manifest is not None:
            found[name] = {
                key: manifest.get(key) for key in ("counts", "seed", "model", "stopped", "complete") if key in manifest
            }
            if name == "model":
                found[name]["top_p"] = read_model_info(run.root).top_p
            else:
                drawn = manifest.get("settings", {})
                found[name]["settings"] = {key: drawn[key] for key in _DRAWN_WITH if key in drawn}
    audit = run.raw / "audit" / "audit.json"
    if audit.is_file():
        found["audit"] = read_json(audit, "the audit", Audit)
    training = read_manifest(run.training_data) or {}
    found["split_texts"] = training.get("split_texts", 0)
    found["personal_data"] = training.get("personal_data", [])
    found["column_roles"] = (read_manifest(run.synthetic) or {}).get("column_roles", {})
    found["settings"] = {key: value for key, value in config.as_dict().items() if value is not None and key in _SHOWN}
    validator = (read_manifest(run.synthetic) or {}).get("settings", {}).get("line_validator")
    if validator is not None:
        found["settings"]["line_validator"] = validator
    return found


_DRAWN_WITH = ("gen_temp", "gen_top_k", "gen_top_p")
_SHOWN = ("vocab_size", "field_delimiter", "rnn_units", "rnn_layers", "epochs", "batch_size", "learning_rate", "seed", "dp",
          "gen_temp", "holdout_fraction", "max_training_time_seconds")  # fmt: skip


def fields_not_compared(body: dict[str, Any]) -> str:
    """Return the sentence on the fields of a wide table that are not compared one by one."""
    return (
        f"The last {body['fields_not_compared']:,} fields are compared as parts of whole records only: fields are compared one "
        f"by one up to the {len(body['schema']):,}th."
    )


def roles_not_compared(kinds: Mapping[str, str]) -> str:
    """Return the sentence on the columns that no model learned.

    Args:
        kinds: kinds of their roles by column.
    """
    listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    return f"Columns with a role are not compared, since the model did not learn them: {listed}."


def not_covered(body: dict[str, Any], context: dict[str, Any]) -> list[str]:
    """Return sentences that say what the report does not cover.

    Args:
        body: content of the report except `context` and `not_covered`.
        context: result of `run_context`, or empty where files were evaluated.
    """
    sentences = []
    if "holdout" not in body["sets"]:
        sentences.append(
            "There was no holdout: no figure has the best reachable value beside it, and privacy was not judged."
        )
    if sampled := sample_note(body["sets"]):
        sentences.append(sampled)
    if "audit" not in context:
        sentences.append("No audit was made: no canaries were planted, and no lower bound on epsilon was measured.")
    if context.get("memory", {}) is None:  # an older report does not say
        sentences.append(
            "Whether the model has lower losses on training records than on others was not measured: there are too few of either."
        )
    if texts := context.get("split_texts"):
        sentences.append(
            f"Copies of {'1 text' if texts == 1 else f'{texts} texts'} that each make up more than 1 % of the records cannot be "
            "judged: their occurrences are shared out among training, validation and holdout."
        )
    if roles := context.get("column_roles"):
        sentences.append(roles_not_compared(roles))
    sentences += [f"{Finding(**found)}. The model learned it as it is." for found in context.get("personal_data", ())]
    if context.get("private") is False or (context and "privacy" not in context):
        sentences.append(
            "The model was trained without differential privacy: no proof rules out the leaks that these tests do not find."
        )
    if body.get("fields_not_compared"):  # absent in an older report
        sentences.append(fields_not_compared(body))
    if body["closeness"]["usefulness"] is None:
        sentences.append(
            "No field could be predicted, so the usefulness of synthetic records for learning was not tested."
        )
    if body["closeness"]["classifier"]["auc"]["synthetic"] is None:
        sentences.append("There are too few records for a classifier that tells real from synthetic.")
    relations = len(body["closeness"]["relations"])
    sentences += [
        "Whether unknown attributes of a person can be inferred from known ones was not tested.",
        "Copies that are reworded, or changed every few characters, are not found: near copies share runs of four characters.",
        "Validation records, which selected the best epoch but were not trained on, are in neither real set.",
        "Relations between three or more fields are measured by the classifier only.",
    ]
    if not relations:
        sentences.append("No two fields are numbers, so there are no differences to compare.")
    return sentences
