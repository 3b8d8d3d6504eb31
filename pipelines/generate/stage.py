"""generate: N valid records from a trained model, written as shards; a stated shortfall where that is not possible.

Units of indices are generated and written by workers (`generate_records`) into a spool below the run directory.
When all are there, the driver adds up their summaries in unit order, drops what lies behind the first unit that was
stopped, and renames the whole to RUN/synthetic and RUN/invalid, manifest included. Until then the old output stands.
"""

from __future__ import annotations

import functools
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.checkpoints import digest_arrays
from linesmith.core.artifacts.model_info import ModelInfo, load_weights, read_model_info
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, locked, run_directory
from linesmith.core.config import preflight
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.from_config import attempt_settings, open_sampler, sampler_options
from linesmith.model.generation.output_plan import plan_output
from linesmith.model.generation.staging import Shard, StagingDirectory
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.model.generation.work_units import UnitResult, WorkUnit
from linesmith.pipelines.evaluate.refresh import mark_report_stale
from linesmith.pipelines.generate.progress import GenerationProgressDisplay
from linesmith.pipelines.generate.publish import Outcome, publish, settle
from linesmith.pipelines.generate.shared_staging import shard_staging, unit_staging
from linesmith.pipelines.generate.start_string_plan import is_paired, plan_start_strings
from linesmith.pipelines.remote.local_paths import accepts_remote_run_directory
from linesmith.pipelines.stage_report import StageReport, measured
from linesmith.records.output.iceberg import TableTarget, check_table, resolve_table_target
from linesmith.records.output.writers import parquet_schema
from linesmith.records.validation.record_checks import RecordCheckSpec
from linesmith.records.validation.record_validator import Judge
from linesmith.records.validation.validator_process import close_validator_processes

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@dataclass(frozen=True)
class GenerationPlan:
    """All that is decided before a record is sampled.

    Attributes:
        config: the settings.
        run: the run directory.
        model: facts of the model.
        units: the work; one empty unit where nothing is asked for.
        settings: what decides about attempts.
        judge: decides about samples, without its validator.
        validator: what else judges records, schema and rules included; None: nothing does.
        spool: where units leave their work.
        seeds: facts of the start strings, or None.
        table: an Iceberg table that the records go to, or None.
        notices: what a user should read.
    """

    config: TensorFlowConfig
    run: RunDirectory
    model: ModelInfo
    units: list[WorkUnit]
    settings: AttemptSettings
    judge: Judge
    validator: RecordCheckSpec | None
    spool: StagingDirectory
    seeds: dict[str, Any] | None = None
    table: TableTarget | None = None
    notices: list[str] = field(default_factory=list)

    @property
    def requested(self) -> int:
        return self.units[-1].end


@accepts_remote_run_directory("generate")
def generate(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Generate records with the model in `config.checkpoint_dir`.

    Args:
        config: the settings; those of the model are read from the run directory.
        beam_args: Beam pipeline options, as on a command line.

    Returns:
        The report; `exit_code` 4 where fewer records than asked for could be had. What there is, is kept and marked.

    Raises:
        ParameterError: a setting cannot work: start string, validator, columns, checkpoint, runner.
        DataError: there is no usable model, the output is complete already, or the disk is full.
    """
    run = run_directory(config)
    read_model_info(run.root)  # before the lock, which would create the directory
    with locked(run):
        return generate_locked(config, beam_args)


def generate_locked(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """`generate` for a caller that holds the lock of the run directory."""
    from linesmith.runners import (
        check_shared_paths,
        idle_worker_notice,
        pipeline_options,
        runner_name,
        threads_per_worker,
    )

    preflight.check(config, "generate")
    with measured("generate") as report:
        options = pipeline_options(beam_args)
        starts = run_directory(config).temporary / "seeds" if is_paired(config) else None
        check_shared_paths(options, {"--output": run_directory(config).root}, {"the store of start strings": starts})
        plan = plan_generation(config, options)
        learnt = None if plan.validator is None else plan.validator.training_set
        check_shared_paths(options, {}, {"the hashes of not_in_training_set": learnt})
        idle = idle_worker_notice(options, "generate", len(plan.units)) if plan.requested else None
        plan.notices.extend([] if idle is None else [idle])
        sampler = functools.partial(
            open_sampler,
            str(plan.run.root.absolute()),
            config.checkpoint,
            sampler_options(config, plan.judge.field_count),
            threads_per_worker(options),
        )
        try:
            outcome = run_plan(plan, options, sampler)
            if mark_report_stale(
                plan.run.root
            ):  # before the records change: no kill leaves a report that passes for theirs
                report.notices.append("the report here was of the records before; linesmith evaluate makes a new one")
            publish(plan, outcome, runner_name(options), report)
        finally:
            close_validator_processes()
            for leftover in plan.run.temporary.iterdir():
                # Workers of a former command that was killed may still write below their own name there.
                shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return report


def plan_generation(config: TensorFlowConfig, options: PipelineOptions) -> GenerationPlan:
    """Check everything that can be checked without sampling, and cut the work into units.

    Raises:
        ParameterError, DataError: as `generate`.
    """
    run = run_directory(config)
    model = _model(run, config.checkpoint)
    trained = config_from_model_dir(run.root)
    check_overwrite_allowed(run.synthetic, "set of synthetic records", config.overwrite)
    output = plan_output(config, run, model, trained, is_paired(config), lambda: run.temporary)
    layout = output.layout
    table = None
    if config.iceberg_table is not None:
        table = resolve_table_target(config.iceberg_table, config.iceberg_catalog, run.root)
        check_table(table, parquet_schema(layout, micros=True), config.partition_by)
    seeds = plan_start_strings(config, run, output.field_count, options)
    spool = StagingDirectory(
        # A name of its own: workers of a former command that still run must not write among these records.
        str(run.temporary.absolute() / f"generate-{uuid.uuid4().hex[:12]}"),
        tuple(config.output_format),
        layout,
        len(seeds.units),
        copies=config.records_per_seed if seeds.paired else 1,
        num_shards=config.num_shards,
        partition_by=config.partition_by,
        iceberg=table is not None,
    )
    return GenerationPlan(
        config=config,
        run=run,
        model=model,
        units=seeds.units,
        settings=attempt_settings(config, config.max_invalid),
        judge=Judge(None, output.field_count, layout.delimiter, layout.quoted),
        validator=None if output.checks.is_empty else output.checks,
        spool=spool,
        seeds=seeds.identity,
        table=table,
        notices=output.notices,
    )


def run_plan(plan: GenerationPlan, options: PipelineOptions, sampler: Callable[[], SampleSource]) -> Outcome:
    """Generate all units and add them up.

    Raises:
        LinesmithError: whatever a worker noted.
    """
    shutil.rmtree(plan.spool.directory, ignore_errors=True)
    try:
        plan.spool.create()
    except OSError as error:
        raise DataError(
            f"LS209: --output: '{plan.spool.directory}' cannot be written ({error.strerror}); make room or choose another "
            "--output.",
            code="LS209",
        ) from None
    if plan.requested == 0:  # nothing to sample: the shards are empty, and no model need be loaded
        for unit in plan.units:
            plan.spool.write(UnitResult(unit, [], [], [], Counter(), None, 0.0))
    else:
        _run_units(plan, plan.units, plan.settings, options, sampler)

    def again(unit: WorkUnit, settings: AttemptSettings) -> None:
        _run_units(plan, [unit], settings, options, sampler)

    outcome = settle(plan.spool, plan.units, plan.settings, again)
    return outcome if plan.spool.num_shards is None else _assembled(plan, outcome, options)


def _assembled(plan: GenerationPlan, outcome: Outcome, options: PipelineOptions) -> Outcome:
    """The outcome with its records cut into the number of shards that was asked for."""
    import apache_beam as beam

    from linesmith.transforms.assemble_shards import AssembleShards, plan_shards
    from linesmith.transforms.collect_json import read_collected

    plans = plan_shards([(unit.number, unit.records) for unit in outcome.units], plan.spool.num_shards or 1)
    results = Path(plan.spool.directory) / "shards.json"
    with shard_staging(plan.spool, options) as spool, beam.Pipeline(options=options) as pipeline:
        place = f"{spool.directory}/{results.name}"
        _ = pipeline | "Shards" >> beam.Create(plans, reshuffle=False) | AssembleShards(spool, place)
    failure = plan.spool.failure()
    if failure is not None:
        raise failure
    shards = sorted((Shard(**one) for one in read_collected(results)), key=lambda one: (one.format, one.name))
    return replace(outcome, assembled=tuple(shards))


def _run_units(
    plan: GenerationPlan,
    units: Sequence[WorkUnit],
    settings: AttemptSettings,
    options: PipelineOptions,
    sampler: Callable[[], SampleSource],
) -> None:
    import apache_beam as beam

    from linesmith.transforms.generate_records import GenerateRecords, RecordGenerator
    from linesmith.transforms.worker_errors import reraise_worker_errors

    with (
        GenerationProgressDisplay(plan.spool.progress, sum(unit.end - unit.start for unit in units)),
        unit_staging(plan.spool, options, str(plan.run.root), sampler) as (spool, opener),
        reraise_worker_errors(),
        beam.Pipeline(options=options) as pipeline,
    ):
        generator = RecordGenerator(opener, settings, plan.judge, plan.validator, spool)
        _ = pipeline | "Units" >> beam.Create(list(units)) | "Records" >> GenerateRecords(generator)
    failure = plan.spool.failure()
    if failure is not None:
        raise failure


def _model(run: RunDirectory, checkpoint: str | None) -> ModelInfo:
    """Facts of the model; with a checkpoint, the digest is that of its weights."""
    model = read_model_info(run.root)
    if checkpoint is None:
        return model
    return replace(model, weights_digest=digest_arrays(load_weights(run.root, checkpoint)))
