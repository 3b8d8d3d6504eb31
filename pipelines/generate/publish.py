"""What generate makes of its units' summaries: the counts of the run, the published directories, the manifest, the report.

Everything is added up in unit order. The run ends at the first unit that was stopped, hopeless or beyond the ceiling on
invalid records; later units are dropped although they may have run, so that the result is that of a single worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import replace_directory
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.errors import EXIT_SHORTFALL, GenerationError
from linesmith.core.hardware import sampling_precision
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.output_plan import column_descriptions
from linesmith.model.generation.staging import ICEBERG, Shard, StagingDirectory, UnitSummary, describe
from linesmith.model.generation.work_units import WorkUnit
from linesmith.pipelines.generate.iceberg_commit import commit_to_iceberg
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.output.iceberg import TableCommit
from linesmith.records.output.writers import keep_first_invalid

if TYPE_CHECKING:
    from linesmith.pipelines.generate.stage import GenerationPlan


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes:
        units: summaries of the units that count, in order.
        requested: records asked for.
        stopped: None, 'rate' or 'max_invalid'.
        assembled: the shards, where their number is fixed; None: those of the units.
    """

    units: list[UnitSummary]
    requested: int
    stopped: str | None
    assembled: tuple[Shard, ...] | None = None

    @property
    def shards(self) -> list[Shard]:
        """All shards of valid records, those for a table included."""
        if self.assembled is not None:
            return list(self.assembled)
        return [shard for unit in self.units for shard in unit.shards]

    @property
    def records(self) -> int:
        return sum(unit.records for unit in self.units)

    @property
    def missing(self) -> int:
        return self.requested - self.records

    @property
    def reasons(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for unit in self.units:
            total.update(unit.reasons)
        return total

    @property
    def attempts(self) -> int:
        return sum(unit.attempts for unit in self.units)

    @property
    def environments(self) -> list[dict[str, str]]:
        """The different kinds of machine that took part."""
        found: list[dict[str, str]] = []
        for unit in self.units:
            if dict(unit.environment) not in found:
                found.append(dict(unit.environment))
        return found


def settle(
    spool: StagingDirectory,
    units: Sequence[WorkUnit],
    settings: AttemptSettings,
    again: Callable[[WorkUnit, AttemptSettings], None],
) -> Outcome:
    """Add the units up, drop those after the end of the run, and keep the first invalid records.

    Where units together cross `max_invalid`, the unit in which that happens is generated once more (`again`) with what the
    former ones left of it, which cuts it at exactly the record at which one worker would have stopped.

    Raises:
        GenerationError: a unit that counts has no summary.
    """
    counted: list[UnitSummary] = []
    invalid = 0
    for unit in units:
        summary = _summary(spool, unit)
        if settings.max_invalid is not None and invalid and invalid + summary.invalid_count > settings.max_invalid:
            spool.discard(unit.number)
            again(unit, replace(settings, max_invalid=settings.max_invalid - invalid))
            summary = _summary(spool, unit)
        counted.append(summary)
        invalid += summary.invalid_count
        if summary.stopped is not None:
            break
    for unit in units[len(counted) :]:
        spool.discard(unit.number)
    return Outcome(_keep_first(spool, counted, settings), units[-1].end, counted[-1].stopped)


def publish(plan: GenerationPlan, outcome: Outcome, runner: str, report: StageReport) -> None:
    """Put the output in its place and fill in the report."""
    spool, run = plan.spool, plan.run
    committed = commit_to_iceberg(plan, outcome)
    body = _manifest(plan, outcome, runner, committed)
    invalid_shards = [unit.invalid for unit in outcome.units if unit.invalid is not None]
    write_manifest(
        spool.invalid,
        "generate",
        {"counts": {"kept": sum(s.records for s in invalid_shards)}, "outputs": _outputs(invalid_shards)},
    )
    write_manifest(spool.synthetic, "generate", body)
    # Shards of invalid records first: once the records are there, all is there.
    replace_directory(spool.invalid, run.invalid)
    replace_directory(spool.synthetic, run.synthetic)
    report.counts = _counts(outcome)
    report.outputs = {"synthetic": str(run.synthetic), "invalid": str(run.invalid)}
    if committed is not None:
        report.outputs["iceberg"] = f"{committed.table} in {committed.location}"
    report.notices += [*plan.notices, *notices(outcome, plan, committed)]
    report.exit_code = EXIT_SHORTFALL if outcome.missing else 0


def notices(outcome: Outcome, plan: GenerationPlan, committed: TableCommit | None = None) -> list[str]:
    """What a person should know: a shortfall with its reasons, and machines that may differ in the last bit."""
    said = []
    if outcome.missing:
        said.append(_shortfall(outcome, plan.settings, str(plan.run.synthetic)))
    if committed is not None and not committed.appended:
        said.append(f"The table {committed.table} held this run already; nothing was added to it.")
    if plan.table is not None and committed is None:
        why = "there are none" if not outcome.requested else "some are missing"
        said.append(f"Nothing was added to the table {plan.table.table}: records go there all at once, and {why}.")
    if len(outcome.environments) > 1:
        said.append(
            f"The workers are of {len(outcome.environments)} kinds (TensorFlow version, processor): the same seed gives the "
            "same bytes only on workers of one kind. They are listed in the manifest."
        )
    return said


def _shortfall(outcome: Outcome, settings: AttemptSettings, where: str) -> str:
    why = {
        "rate": f"the run was ended because less than {settings.min_valid_rate:.4g} of the attempts were valid "
        "(--min-valid-rate)",
        "max_invalid": f"the run was ended because more than {settings.max_invalid} records were invalid (--max-invalid)",
        None: f"they were not valid in {settings.max_attempts} attempts each (--max-attempts)",
    }[outcome.stopped]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in outcome.reasons.most_common(3))
    return (
        f"{outcome.missing:,} of {outcome.requested:,} records are missing: {why}. Main reasons: {reasons}. The "
        f"{outcome.records:,} valid records are kept in '{where}' and marked as partial; train longer, or look at the invalid "
        "records beside it."
    )


def _counts(outcome: Outcome) -> dict[str, int | float | str]:
    """Counts worth showing. The valid share is left out where nothing was tried: not measured is not 0."""
    counts: dict[str, int | float | str] = {
        "requested": outcome.requested,
        "records": outcome.records,
        "missing": outcome.missing,
        "invalid": sum(outcome.reasons.values()),
        "attempts": outcome.attempts,
    }
    if outcome.attempts:
        counts["valid_rate"] = outcome.records / outcome.attempts
        # What the valid rate would be without masks: the mean of ∏ Zₜ, 0 for an attempt that gave no record.
        counts["unmasked_valid_rate"] = sum(unit.survival for unit in outcome.units) / outcome.attempts
    counts["characters"] = sum(unit.characters for unit in outcome.units)
    return counts


def _manifest(plan: GenerationPlan, outcome: Outcome, runner: str, committed: TableCommit | None) -> dict[str, Any]:
    model = plan.model
    return {
        "complete": outcome.missing == 0,
        "stopped": outcome.stopped,
        "counts": {**_counts(outcome), "invalid_by_reason": dict(sorted(outcome.reasons.items()))},
        "seconds_sampling": round(sum(unit.seconds for unit in outcome.units), 3),
        "seed": plan.config.seed,
        "precision": sampling_precision(plan.config.matmul_precision),
        "model": {
            "weights_digest": model.weights_digest,
            "tokenizer_digest": model.tokenizer_digest,
            "checkpoint": plan.config.checkpoint or model.default_checkpoint,
        },
        "validator": None if plan.validator is None else plan.validator.identity,
        "start_strings": plan.seeds,
        "columns": list(plan.spool.layout.names),
        "types": column_descriptions(plan.spool.layout),
        "partition_by": plan.spool.partition_by,
        "iceberg": None if committed is None else asdict(committed),
        "environments": outcome.environments,
        "runner": runner,
        "settings": plan.config.stage_settings("generate"),
        "outputs": _outputs([shard for shard in outcome.shards if shard.format != ICEBERG]),
    }


def _outputs(shards: Sequence[Shard]) -> dict[str, Any]:
    return {shard.name: {"records": shard.records, "bytes": shard.bytes, "sha256": shard.sha256} for shard in shards}


def _summary(spool: StagingDirectory, unit: WorkUnit) -> UnitSummary:
    summary = spool.summary(unit.number)
    if summary is None:
        raise GenerationError(
            f"LS402: unit {unit.number} left no result in '{spool.directory}'. All workers must see the run directory under "
            "the same path; use a shared file system, or the in-process runner.",
            code="LS402",
        )
    return summary


def _keep_first(spool: StagingDirectory, units: Sequence[UnitSummary], settings: AttemptSettings) -> list[UnitSummary]:
    """Each unit keeps its first invalid records; the run keeps the first of all."""
    room = settings.keep_invalid
    kept = []
    for unit in units:
        shard = unit.invalid
        if room is not None and shard is not None:
            shard = _cut(spool.invalid / shard.name, shard, room)
            room -= 0 if shard is None else shard.records
        kept.append(replace(unit, invalid=shard))
    return kept


def _cut(path: Path, shard: Shard, room: int) -> Shard | None:
    if shard.records <= room:
        return shard
    if room == 0:
        path.unlink()
        return None
    keep_first_invalid(path, room)
    return describe(path, shard.format, room)
