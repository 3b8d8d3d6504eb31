"""From the summaries of work units to the published output: counts of the run, directories, manifests and the report.

Summaries are added up in unit order. The run ends at the first unit that was stopped by its valid rate or by the limit on
invalid records; later units are dropped although they may have run, so that the result is the same as with one worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from linesmith.core.addresses import redact_address
from linesmith.core.artifacts.files import replace_directory
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.params import redact_settings
from linesmith.core.artifacts.shard_list import list_shards
from linesmith.core.errors import EXIT_SHORTFALL, DataError, GenerationError
from linesmith.core.hardware import sampling_precision
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.output_plan import column_descriptions
from linesmith.model.generation.staging import ICEBERG, StagingDirectory
from linesmith.model.generation.unit_summary import StagedShard, UnitSummary, describe_shard
from linesmith.model.generation.work_units import WorkUnit
from linesmith.pipelines.cards.files import write_dataset_cards
from linesmith.pipelines.generate.iceberg_commit import commit_to_iceberg
from linesmith.pipelines.generate.plan import GenerationOutcome, GenerationPlan
from linesmith.pipelines.generate.source_keys import roles_part
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.output.iceberg import TableCommit
from linesmith.records.output.writers import keep_first_invalid


def merge_unit_summaries(
    staging: StagingDirectory,
    units: Sequence[WorkUnit],
    settings: AttemptSettings,
    regenerate: Callable[[WorkUnit, AttemptSettings], None],
) -> GenerationOutcome:
    """Add up the summaries of units, delete the units after the end of the run, and keep the first invalid records.

    Each unit alone observes `max_invalid`. Where the units together exceed it, the unit in which that happens is generated
    again with the number that the earlier units left, which ends it at exactly the record at which one worker would have
    stopped.

    Args:
        staging: where the units were written.
        units: all units, in order; at least one.
        settings: limits of the attempts, for the whole run.
        regenerate: generates one unit again, under other settings.

    Raises:
        GenerationError: LS402, a unit that counts has no summary.
    """
    counted: list[UnitSummary] = []
    invalid = 0
    for unit in units:
        summary = _read_summary(staging, unit)
        # The first unit with invalid records has observed the limit itself.
        if settings.max_invalid is not None and invalid and invalid + summary.invalid_count > settings.max_invalid:
            staging.delete_unit(unit.number)
            regenerate(unit, replace(settings, max_invalid=settings.max_invalid - invalid))
            summary = _read_summary(staging, unit)
        counted.append(summary)
        invalid += summary.invalid_count
        if summary.stopped is not None:
            break
    for unit in units[len(counted) :]:
        staging.delete_unit(unit.number)
    kept = _keep_first_invalid_records(staging.invalid, counted, settings.keep_invalid)
    return GenerationOutcome(kept, units[-1].end, counted[-1].stopped)


def publish_records(plan: GenerationPlan, outcome: GenerationOutcome, runner: str, report: StageReport) -> None:
    """Commit to the table, write the manifests, move the staged directories into place, and fill in the report.

    Args:
        plan: the plan of the run.
        outcome: as `run_plan` returns it.
        runner: name of the Beam runner, for the manifest.
        report: counts, outputs, notices and exit code are filled in.

    Raises:
        DataError: LS209, the staged files do not hold the records; LS211, the table could not be changed.
    """
    staging, run = plan.staging, plan.run
    _check_staged_records(staging, outcome)
    commit = commit_to_iceberg(plan, outcome)
    invalid_shards = [unit.invalid for unit in outcome.units if unit.invalid is not None]
    write_manifest(
        staging.invalid,
        "generate",
        {
            "private": plan.private,
            "counts": {"kept": sum(s.records for s in invalid_shards)},
            **list_shards(staging.invalid, map(_entry, invalid_shards)),
        },
    )
    manifest = _manifest(plan, outcome, runner, commit)
    write_dataset_cards(run, staging.synthetic, manifest, evaluated=False)
    write_manifest(staging.synthetic, "generate", manifest)
    # Invalid records first: where the valid records are in place, everything is.
    replace_directory(staging.invalid, run.invalid)
    replace_directory(staging.synthetic, run.synthetic)
    report.counts = _counts(outcome)
    report.outputs = {"synthetic": str(run.synthetic), "invalid": str(run.invalid)}
    if commit is not None:
        report.outputs["iceberg"] = f"{commit.table} in {redact_address(commit.location)}"
    report.notices += [*plan.notices, *_notices(plan, outcome, commit)]
    report.exit_code = EXIT_SHORTFALL if outcome.missing else 0


def _notices(plan: GenerationPlan, outcome: GenerationOutcome, commit: TableCommit | None) -> list[str]:
    """Return sentences about a shortfall and about the table."""
    notices = []
    if outcome.missing:
        notices.append(_shortfall(outcome, plan))
    fault = outcome.validator_fault
    # These two are how a validator says no; others are likely to be its own faults.
    if fault is not None and (outcome.missing or fault.split()[0] not in ("ValueError", "AssertionError")):
        notices.append(f"the first exception of the validator was {fault}")
    if commit is not None and not commit.appended:
        notices.append(f"The table {commit.table} held this run already; nothing was added to it.")
    if plan.table is not None and commit is None:
        why = "there are none" if not outcome.requested else "some are missing"
        notices.append(f"Nothing was added to the table {plan.table.table}: records go there all at once, and {why}.")
    return notices


def _shortfall(outcome: GenerationOutcome, plan: GenerationPlan) -> str:
    settings, directory = plan.attempt_settings, str(plan.run.synthetic)
    given = "; a record that cannot have what it is given has one" if plan.config.has_conditions else ""
    why = {
        "rate": f"the run was ended because less than {settings.min_valid_rate:.4g} of the attempts were valid "
        "(--min-valid-rate)",
        "max_invalid": f"the run was ended because more than {settings.max_invalid} records were invalid (--max-invalid)",
        None: f"they were not valid in {settings.max_attempts} attempts each (--max-attempts{given})",
    }[outcome.stopped]
    main = outcome.reasons.most_common(3)
    remedy = "train longer, or look at the invalid records beside it."
    if plan.private and main and main[0][0] == "length":
        remedy = (
            f"private training cuts records at --seq-length ({plan.model.length_cap_tokens} tokens): where yours are longer, "
            "raise it, else train longer."
        )
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in main)
    return (
        f"{outcome.missing:,} of {outcome.requested:,} records are missing: {why}. Main reasons: {reasons}. The "
        f"{outcome.records:,} valid records are kept in '{directory}' and marked as partial; {remedy}"
    )


def _counts(outcome: GenerationOutcome) -> dict[str, int | float | str]:
    """Return the counts of the report. Without an attempt there is no valid rate, which would not be 0."""
    counts: dict[str, int | float | str] = {
        "requested": outcome.requested,
        "records": outcome.records,
        "missing": outcome.missing,
        "invalid": sum(outcome.reasons.values()),
        "attempts": outcome.attempts,
    }
    if outcome.attempts:
        counts["valid_rate"] = outcome.records / outcome.attempts
        # Valid rate to expect without masks: the mean of ∏ Zₜ, where an attempt that gave no record counts as 0.
        counts["unmasked_valid_rate"] = sum(unit.survival for unit in outcome.units) / outcome.attempts
    counts["characters"] = sum(unit.characters for unit in outcome.units)
    return counts


def _manifest(
    plan: GenerationPlan, outcome: GenerationOutcome, runner: str, commit: TableCommit | None
) -> dict[str, Any]:
    model = plan.model
    return {
        "complete": outcome.missing == 0,
        "private": plan.private,
        "stopped": outcome.stopped,
        "counts": {**_counts(outcome), "invalid_by_reason": dict(sorted(outcome.reasons.items()))},
        "seed": plan.config.seed,
        "precision": sampling_precision(plan.config.matmul_precision),
        "model": {
            "weights_digest": model.weights_digest,
            "tokenizer_digest": model.tokenizer_digest,
            "checkpoint": plan.config.checkpoint or model.default_checkpoint,
        },
        "validator": None if plan.checks is None else plan.checks.identity,
        "start_strings": plan.start_strings,
        "columns": list(plan.staging.layout.names),
        **roles_part(plan.run, plan.config),
        "types": column_descriptions(plan.staging.layout),
        "header": plan.staging.layout.header is not None,
        "partition_by": plan.staging.partition_by,
        "iceberg": None if commit is None else {**asdict(commit), "location": redact_address(commit.location)},
        "runner": runner,
        "settings": redact_settings(plan.config.stage_settings("generate")),
        **list_shards(plan.staging.synthetic, (_entry(shard) for shard in outcome.shards if shard.format != ICEBERG)),
    }


def _check_staged_records(staging: StagingDirectory, outcome: GenerationOutcome) -> None:
    """Compare the files on disk with what the workers say they wrote, before anything is published.

    Workers have counted the records of each file on disk. Here each file must be there in its size, no other one may be there,
    and each format must hold every record.

    Raises:
        DataError: LS209, a file is missing, was written twice, or has another size, or records are missing.
    """
    formats = {*staging.formats, *([ICEBERG] if staging.iceberg else [])}
    found = None
    for output_format in sorted(formats):
        shards = [shard for shard in outcome.shards if shard.format == output_format]
        records = sum(shard.records for shard in shards)
        if records != outcome.records:
            found = f"the {output_format} files hold {records:,} of {outcome.records:,} records"
    for root, is_table in ((staging.synthetic, False), (staging.iceberg_directory, True)):
        reported = [shard for shard in outcome.shards if (shard.format == ICEBERG) is is_table]
        sizes = {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("part-*") if path.is_file()}
        if len(reported) != len(sizes) or any(sizes.get(shard.name) != shard.bytes for shard in reported):
            found = f"of {len(reported):,} files in '{root}' some are missing, or are not as they were written"
    if found is not None:
        raise DataError(
            "LS209", f"--output '{staging.directory}'", found, "Check the disk and run the same command again."
        )


def _entry(shard: StagedShard) -> tuple[str, dict[str, Any]]:
    return shard.name, {"records": shard.records, "bytes": shard.bytes, "sha256": shard.sha256}


def _read_summary(staging: StagingDirectory, unit: WorkUnit) -> UnitSummary:
    summary = staging.read_summary(unit.number)
    if summary is None:
        raise GenerationError(
            "LS402",
            None,
            f"unit {unit.number} left no result in '{staging.directory}'",
            "All workers must see the run directory under the same path. Use a shared file system, or the in-process runner.",
        )
    return summary


def _keep_first_invalid_records(directory: Path, units: Sequence[UnitSummary], keep: int | None) -> list[UnitSummary]:
    """Cut the shards of invalid records so that the run keeps its first `keep`; None keeps what each unit kept."""
    if keep is None:
        return list(units)
    kept = []
    for unit in units:
        shard = unit.invalid
        if shard is not None:
            shard = _cut_shard(directory / shard.name, shard, keep)
            keep -= 0 if shard is None else shard.records
        kept.append(replace(unit, invalid=shard))
    return kept


def _cut_shard(path: Path, shard: StagedShard, keep: int) -> StagedShard | None:
    """Keep the first records of a shard; without any, delete it and return None."""
    if shard.records <= keep:
        return shard
    if keep == 0:
        path.unlink()
        return None
    keep_first_invalid(path, keep)
    return describe_shard(path, shard.format, keep)
