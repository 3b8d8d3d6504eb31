"""The records of a complete run into an Iceberg table: one commit, and never the same run twice."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from linesmith.core.config.setting_field import SETTINGS_WITHOUT_EFFECT
from linesmith.model.generation.staging import ICEBERG
from linesmith.records.output.iceberg import TableCommit, commit_files
from linesmith.records.output.writers import parquet_schema

if TYPE_CHECKING:
    from linesmith.pipelines.generate.publish import Outcome
    from linesmith.pipelines.generate.stage import GenerationPlan

# Settings that say where and how records are written or found, not which ones: the content of what they name is digested.
_NOT_IN_IDENTITY = {
    *SETTINGS_WITHOUT_EFFECT,
    "output_format",
    "unit_size",
    "num_shards",
    "iceberg_catalog",
    "model_archive",
    "checkpoint",
    "start_string",
    "start_strings_file",
    "start_strings_field",
    "line_validator",
    "validator_timeout",
    "rules",
    "validation_rules",
    "schema_file",
    "output_types",
}


def commit_to_iceberg(plan: GenerationPlan, outcome: Outcome) -> TableCommit | None:
    """Add the run to its table. None where there is no table, no record, or a record is missing: then nothing is added.

    Raises:
        DataError: LS211, the table is as it was.
    """
    if plan.table is None or outcome.missing or not outcome.requested:
        return None
    shards = [shard for shard in outcome.shards if shard.format == ICEBERG and shard.records]
    return commit_files(
        plan.table,
        [plan.spool.lake / shard.name for shard in shards],
        parquet_schema(plan.spool.layout, micros=True),
        plan.spool.partition_by,
        run_digest(plan),
        {"linesmith.records": str(outcome.records), "linesmith.seed": str(plan.config.seed)},
    )


def run_digest(plan: GenerationPlan) -> str:
    """Identifies a run by all that decides which records it gives."""
    checks, settings = plan.validator, plan.config.stage_settings("generate")
    identity: dict[str, Any] = {
        "weights": plan.model.weights_digest,
        "tokenizer": plan.model.tokenizer_digest,
        "seed": plan.config.seed,
        "precision": plan.config.matmul_precision,
        "settings": {name: value for name, value in settings.items() if name not in _NOT_IN_IDENTITY},
        "start_strings": plan.seeds,
        "columns": [
            [name, str(kind)]
            for name, kind in zip(plan.spool.layout.names, plan.spool.layout.column_types, strict=True)
        ],
        "validator": None if checks is None else checks.identity,
        "rules": [] if checks is None else [json.loads(rules.rules) for rules in checks.rules],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
