"""The generate stage: N valid records from a trained model, written as shards, or fewer and a report of the shortfall.

Workers generate units of record indices into a staging directory below the run directory. When all units are there, the driver
adds up their summaries in unit order, drops the units after the first one that ended the run, and renames the staged
directories, manifests included, to RUN/synthetic and RUN/invalid. Until then the previous output stays in place.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.run_directory import locked, run_directory
from linesmith.core.config import preflight
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.core.library_logging import quiet_calls
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.from_config import open_sampler, sampler_options
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.model.generation.unit_summary import StagedShard
from linesmith.model.generation.work_units import WorkUnit, WorkUnitResult
from linesmith.pipelines.cards.files import refresh_model_card
from linesmith.pipelines.evaluate.refresh import mark_report_stale
from linesmith.pipelines.generate.plan import GenerationOutcome, GenerationPlan, plan_generation
from linesmith.pipelines.generate.progress import GenerationProgressDisplay
from linesmith.pipelines.generate.publish import merge_unit_summaries, publish_records
from linesmith.pipelines.generate.shared_staging import shard_staging, unit_staging
from linesmith.pipelines.generate.start_string_plan import is_paired, start_string_store
from linesmith.pipelines.remote.local_paths import config_with_local_paths, with_remote_addresses
from linesmith.pipelines.stage_report import StageReport, measured_stage
from linesmith.records.validation.validator_process import close_validator_processes

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@quiet_calls()
def generate(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Generate records with the model in a run directory.

    Args:
        config: the settings; `checkpoint_dir` is the run directory, a path or a bucket address. The settings of the model are
            read from there.
        beam_args: Beam pipeline options, as on a command line.

    Returns:
        Counts, outputs and notices. `exit_code` is 4 where fewer records than requested could be produced; those that were
        produced are published and marked as partial.

    Raises:
        ParameterError: a setting cannot work: start string, validator, columns, checkpoint, runner.
        DataError: there is no usable model, the output is complete already, or the disk is full.
    """
    with config_with_local_paths(config, "generate", beam_args) as (local_config, mirror):
        run = run_directory(local_config)
        read_model_info(run.root)  # before the lock, which would create a missing directory
        with locked(run):
            report = generate_locked(local_config, beam_args)
        return with_remote_addresses(report, mirror)


def generate_locked(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Generate records, for a caller that holds the lock of the run directory.

    Args:
        config: the settings, with local paths.
        beam_args: Beam pipeline options, as on a command line.

    Returns:
        As `generate`.

    Raises:
        ParameterError: as `generate`.
        DataError: as `generate`.
    """
    from linesmith.runners import idle_worker_notice, pipeline_options, runner_name, threads_per_worker

    preflight.check(config, "generate")
    with measured_stage("generate") as report:
        options = pipeline_options(beam_args)
        plan = _plan_for_workers(config, options)
        idle = idle_worker_notice(options, "generate", len(plan.units)) if plan.requested else None
        plan.notices.extend([] if idle is None else [idle])
        sampler = functools.partial(
            open_sampler,
            str(plan.run.root.absolute()),
            config.checkpoint,
            sampler_options(config, plan.model, plan.record_validator.field_count, plan.inferred_schema),
            threads_per_worker(options),
        )
        try:
            outcome = run_plan(plan, options, sampler)
            # Before the records are replaced: a process that is killed in between leaves no report that seems to be theirs.
            if mark_report_stale(plan.run.root):
                report.notices.append("the report here was of the records before; linesmith evaluate makes a new one")
                with contextlib.suppress(DataError):  # a damaged file of the run must not keep records from being made
                    refresh_model_card(plan.run)
            publish_records(plan, outcome, runner_name(options), report)
        finally:
            close_validator_processes()
            for leftover in plan.run.temporary.iterdir():
                # Errors are ignored: workers of an earlier, killed command may still write to their own directory there.
                shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return report


def _plan_for_workers(config: TensorFlowConfig, options: PipelineOptions) -> GenerationPlan:
    """Plan, and check that the workers can reach every path of the plan."""
    from linesmith.runners import check_shared_paths

    run = run_directory(config)
    store = start_string_store(run) if is_paired(config) else None
    check_shared_paths(options, {"--output": run.root}, {"the store of start strings": store})
    plan = plan_generation(config, options)
    training_hashes = None if plan.checks is None else plan.checks.training_hashes_file
    check_shared_paths(options, {}, {"the hashes of not_in_training_set": training_hashes})
    filler = plan.staging.filler
    for path in [] if filler is None else filler.paths:
        check_shared_paths(options, {}, {"values of --column-role": path})
    return plan


def run_plan(
    plan: GenerationPlan, options: PipelineOptions, sampler: functools.partial[SampleSource]
) -> GenerationOutcome:
    """Generate all units into the staging directory, and add up their summaries.

    Args:
        plan: what to generate; its staging directory is created anew.
        options: pipeline options.
        sampler: `open_sampler` with its arguments, which opens the model on a worker.

    Raises:
        DataError: LS209, the staging directory cannot be written.
        LinesmithError: whatever stopped a worker.
    """
    shutil.rmtree(plan.staging.directory, ignore_errors=True)
    try:
        plan.staging.create()
    except OSError as error:
        raise plan.staging.write_error(error) from None
    if plan.requested == 0:  # the shards are empty, and no model need be loaded
        for unit in plan.units:
            plan.staging.write(WorkUnitResult(unit, [], [], [], Counter(), None, 0.0))
    else:
        _run_units(plan, plan.units, plan.attempt_settings, options, sampler)

    def regenerate(unit: WorkUnit, settings: AttemptSettings) -> None:
        _run_units(plan, [unit], settings, options, sampler)

    outcome = merge_unit_summaries(plan.staging, plan.units, plan.attempt_settings, regenerate)
    if plan.staging.num_shards is None:
        return outcome
    return replace(outcome, assembled=_assemble_shards(plan, outcome, plan.staging.num_shards, options))


def _run_units(
    plan: GenerationPlan,
    units: Sequence[WorkUnit],
    settings: AttemptSettings,
    options: PipelineOptions,
    sampler: functools.partial[SampleSource],
) -> None:
    """Generate units on workers."""
    import apache_beam as beam

    from linesmith.transforms.generate_records import GenerateRecords, RecordGenerator
    from linesmith.transforms.worker_errors import reraise_worker_errors

    with (
        GenerationProgressDisplay(plan.staging.read_progress, sum(unit.end - unit.start for unit in units)),
        unit_staging(plan.staging, options, str(plan.run.root), sampler) as (staging, opener),
        reraise_worker_errors(),
        beam.Pipeline(options=options) as pipeline,
    ):
        generator = RecordGenerator(opener, settings, plan.record_validator, plan.checks, staging)
        _ = pipeline | "Units" >> beam.Create(list(units)) | "Records" >> GenerateRecords(generator)
    _raise_staged_failure(plan)


def _assemble_shards(
    plan: GenerationPlan, outcome: GenerationOutcome, num_shards: int, options: PipelineOptions
) -> tuple[StagedShard, ...]:
    """Divide the records of all units into a fixed number of shards per format, on workers."""
    import apache_beam as beam

    from linesmith.transforms.assemble_shards import AssembleShards, plan_shards
    from linesmith.transforms.collect_json import read_collected

    shard_plans = plan_shards([(unit.number, unit.records) for unit in outcome.units], num_shards)
    results = Path(plan.staging.directory) / "shards.json"
    with shard_staging(plan.staging, options) as staging, beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(shard_plans, reshuffle=False)
            | AssembleShards(staging, f"{staging.directory}/{results.name}")
        )
    _raise_staged_failure(plan)
    shards = (StagedShard(**fields) for fields in read_collected(results))
    return tuple(sorted(shards, key=lambda shard: (shard.format, shard.name)))


def _raise_staged_failure(plan: GenerationPlan) -> None:
    """Raise the error that a worker left in the staging directory, if there is one."""
    failure = plan.staging.read_failure()
    if failure is not None:
        raise failure
