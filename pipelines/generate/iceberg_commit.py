"""Commit of a complete run's records to an Iceberg table: one commit per run, and none for a run that the table has."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from linesmith.core.config.setting_field import SETTINGS_WITHOUT_EFFECT
from linesmith.model.generation.staging import ICEBERG
from linesmith.pipelines.generate.plan import GenerationOutcome, GenerationPlan
from linesmith.records.output.iceberg import TableCommit, commit_files
from linesmith.records.output.writers import parquet_schema

# Settings that do not decide which records are generated: how they are written, and where files lie whose content is digested.
_NOT_IN_IDENTITY = {
    *SETTINGS_WITHOUT_EFFECT,
    "output_format",
    "output_header",
    "unit_size",
    "num_shards",
    "iceberg_catalog",
    "model_archive",
    "checkpoint",
    "start_string",
    "start_strings_file",
    "start_strings_field",
    "where",
    "where_file",
    "strict_conditions",
    "balance",
    "impute",
    "line_validator",
    "validator_timeout",
    "rules",
    "validation_rules",
    "schema_file",
    "output_types",
}


def commit_to_iceberg(plan: GenerationPlan, outcome: GenerationOutcome) -> TableCommit | None:
    """Add the records of a run to its table.

    Args:
        plan: names the table and the staged files.
        outcome: as `run_plan` returns it.

    Returns:
        The commit; None, and nothing is added, where the plan has no table, no record was requested, or one is missing.

    Raises:
        DataError: LS211, the table could not be changed, and is as it was.
    """
    if plan.table is None or outcome.missing or not outcome.requested:
        return None
    staging = plan.staging
    shards = [shard for shard in outcome.shards if shard.format == ICEBERG and shard.records]
    return commit_files(
        plan.table,
        [staging.iceberg_directory / shard.name for shard in shards],
        parquet_schema(staging.layout, microseconds=True),
        staging.partition_by,
        run_digest(plan),
        {"linesmith.records": str(outcome.records), "linesmith.seed": str(plan.config.seed)},
    )


def run_digest(plan: GenerationPlan) -> str:
    """Return the SHA-256, in hexadecimal, of everything that decides which records a run generates.

    Args:
        plan: the plan of the run.
    """
    checks, layout = plan.checks, plan.staging.layout
    settings = plan.config.stage_settings("generate")
    identity: dict[str, Any] = {
        "weights": plan.model.weights_digest,
        "tokenizer": plan.model.tokenizer_digest,
        "seed": plan.config.seed,
        "precision": plan.config.matmul_precision,
        "settings": {name: value for name, value in settings.items() if name not in _NOT_IN_IDENTITY},
        "start_strings": plan.start_strings,
        "columns": [
            [name, str(column_type)] for name, column_type in zip(layout.names, layout.column_types, strict=True)
        ],
        "validator": None if checks is None else checks.identity,
        "rules": [] if checks is None else [json.loads(rules.rules) for rules in checks.rules],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
