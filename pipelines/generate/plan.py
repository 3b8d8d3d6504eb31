"""The plan of a generation, made before the first record is sampled, and its outcome."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.checkpoints import digest_arrays
from linesmith.core.artifacts.model_info import ModelInfo, load_weights, read_model_info
from linesmith.core.artifacts.params import read_stored_config
from linesmith.core.artifacts.privacy_statement import check_statement
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, run_directory
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.discriminator.discriminator import load_discriminator
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.from_config import attempt_settings, uses_discriminator, with_model_defaults
from linesmith.model.generation.output_plan import plan_output
from linesmith.model.generation.requests.condition_requests import check_whole_records
from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.unit_summary import StagedShard, UnitSummary
from linesmith.model.generation.work_units import WorkUnit
from linesmith.pipelines.generate.condition_plan import plan_conditions
from linesmith.pipelines.generate.source_keys import source_key_reader
from linesmith.pipelines.generate.start_string_plan import is_paired, plan_start_strings
from linesmith.records.output.iceberg import check_table
from linesmith.records.output.iceberg_target import TableTarget, check_partition_column, resolve_table_target
from linesmith.records.output.writers import parquet_schema
from linesmith.records.validation.record_checks import RecordCheckSpec
from linesmith.records.validation.record_validator import RecordValidator

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@dataclass(frozen=True)
class GenerationPlan:
    """All that is decided before a record is sampled.

    Attributes:
        config: the settings.
        run: the run directory.
        model: description of the model.
        units: the work units, in order; one empty unit where no record is requested.
        attempt_settings: seed, distribution and limits of the attempts.
        record_validator: checks the form of samples: length, encoding, number of fields.
        checks: further checks of records: the user's validator, schema and rules; None: there are none.
        staging: where workers write shards and summaries of units.
        private: whether the model was trained with differential privacy.
        start_strings: count and digest of the start strings for the manifest; None: there are none.
        table: the Iceberg table that the records are added to, or None.
        notices: sentences that the user should read.
        inferred_schema: inferred types by which records are judged, and the sampler steered; None: there are none.
    """

    config: TensorFlowConfig
    run: RunDirectory
    model: ModelInfo
    units: list[WorkUnit]
    attempt_settings: AttemptSettings
    record_validator: RecordValidator
    checks: RecordCheckSpec | None
    staging: StagingDirectory
    private: bool
    start_strings: dict[str, Any] | None = None
    table: TableTarget | None = None
    notices: list[str] = field(default_factory=list)
    inferred_schema: str | None = None

    @property
    def requested(self) -> int:
        """Number of records requested."""
        return self.units[-1].end


@dataclass(frozen=True)
class GenerationOutcome:
    """What a generation produced.

    Attributes:
        units: summaries of the units that count, in order.
        requested: number of records requested.
        stopped: why the run ended early: 'rate' or 'max_invalid'; None: it did not.
        assembled: the shards, where their number is fixed; None: the shards are those of the units.
    """

    units: list[UnitSummary]
    requested: int
    stopped: str | None
    assembled: tuple[StagedShard, ...] | None = None

    @property
    def shards(self) -> list[StagedShard]:
        """All shards of valid records, those for a table included."""
        if self.assembled is not None:
            return list(self.assembled)
        return [shard for unit in self.units for shard in unit.shards]

    @property
    def records(self) -> int:
        """Number of valid records."""
        return sum(unit.records for unit in self.units)

    @property
    def missing(self) -> int:
        """Number of records requested and not produced."""
        return self.requested - self.records

    @property
    def reasons(self) -> Counter[str]:
        """Number of invalid attempts by reason."""
        total: Counter[str] = Counter()
        for unit in self.units:
            total.update(unit.reasons)
        return total

    @property
    def attempts(self) -> int:
        """Number of samples drawn."""
        return sum(unit.attempts for unit in self.units)

    @property
    def validator_fault(self) -> str | None:
        """The first exception that the validator raised, without a word of the record; None where it raised none."""
        return next((unit.validator_fault for unit in self.units if unit.validator_fault is not None), None)


def plan_generation(config: TensorFlowConfig, options: PipelineOptions) -> GenerationPlan:
    """Check everything that can be checked without sampling, and divide the work into units.

    Args:
        config: the settings, with local paths.
        options: pipeline options; files of start strings are encoded by a pipeline.

    Raises:
        ParameterError: a setting cannot work: start string, validator, columns, checkpoint, table.
        DataError: there is no usable model, its privacy statement is of others, or the output is complete already.
    """
    run = run_directory(config)
    model = _read_model(run, config.checkpoint)
    config = with_model_defaults(config, model)
    trained_config, _ = read_stored_config(run.root)
    statement = check_statement(run.root, config.checkpoint)
    check_overwrite_allowed(run.synthetic, "set of synthetic records", config.overwrite)
    output = plan_output(
        config,
        run,
        model,
        trained_config,
        is_paired(config),
        lambda: run.temporary,
        read_source_keys=source_key_reader(config, trained_config),
    )
    layout = output.output_layout
    table = None
    if config.iceberg_table is not None:
        if config.partition_by is not None:
            check_partition_column(config.iceberg_table, config.partition_by)
        table = resolve_table_target(config.iceberg_table, config.iceberg_catalog, run.root)
        check_table(table, parquet_schema(layout, microseconds=True), config.partition_by)
    check_whole_records(config, model)
    if config.has_conditions:
        start_strings = plan_conditions(config, run, model, output, options)
    else:
        start_strings = plan_start_strings(config, run, output.field_count, options)
    if output.filler is not None:
        output.filler.check_capacity(start_strings.units[-1].end)
    staging = StagingDirectory(
        # Named uniquely: workers of an earlier command may still be running, and must not write among these records.
        str(run.temporary.absolute() / f"generate-{uuid.uuid4().hex[:12]}"),
        tuple(config.output_format),
        layout,
        len(start_strings.units),
        records_per_seed=config.records_per_seed if start_strings.paired else 1,
        num_shards=config.num_shards,
        partition_by=config.partition_by,
        ignores_case=output.checks.ignores_case,
        iceberg=table is not None,
        filler=output.filler,
    )
    return GenerationPlan(
        config=config,
        run=run,
        model=model,
        units=start_strings.units,
        attempt_settings=attempt_settings(config, config.max_invalid, ordered=model.condition_on is not None),
        record_validator=RecordValidator(None, output.field_count, layout.fields),
        checks=None if output.checks.is_empty else output.checks,
        staging=staging,
        private=statement is not None,
        start_strings=start_strings.identity,
        table=table,
        notices=[*output.notices, *start_strings.notices, *_discriminator_notices(config, run, model)],
        inferred_schema=output.inferred_schema,
    )


def _discriminator_notices(config: TensorFlowConfig, run: RunDirectory, model: ModelInfo) -> list[str]:
    """Say what choosing among drafts costs.

    Raises:
        DataError: LS214, the discriminator is damaged.
    """
    discriminator = load_discriminator(run.root, model) if uses_discriminator(config, model) else None
    if discriminator is None:
        return []
    drafts = 1 / discriminator.kept_share(config.gen_drafts)
    return [
        f"each record is chosen among {drafts:.1f} drafts on average; {option_text('gen_drafts', 1)} takes the first, which is "
        "faster and less like the training records"
    ]


def _read_model(run: RunDirectory, checkpoint: str | None) -> ModelInfo:
    """Return the model's description; with a checkpoint, its digest is that of the checkpoint's weights."""
    model = read_model_info(run.root)
    if checkpoint is None:
        return model
    return replace(model, weights_digest=digest_arrays(load_weights(run.root, checkpoint)))
