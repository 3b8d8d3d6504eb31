"""generate: N valid records from a trained model, written as shards; a stated shortfall where that is not possible.

Units of indices are generated and written by workers (`transforms.generate_records`) into a spool below the run directory.
When all are there, the driver adds up their summaries in unit order, drops what lies behind the first unit that was
stopped, and renames the whole to RUN/synthetic and RUN/invalid, manifest included. Until then the old output stands.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from model import preflight
from model.checkpoints import digest_arrays
from model.config import TensorFlowConfig
from model.config_io import config_from_model_dir
from model.errors import DataError
from model.generation import (
    SampleSource,
    StartString,
    UnitResult,
    WorkUnit,
    open_sampler,
    plan_units,
    sampler_options,
    unit_settings,
)
from model.ledger import UnitSettings
from model.record_layout import RecordLayout, columns_of
from model.run_dir import RunDirectory, locked, refuse_complete, run_directory
from model.spool import Spool
from model.start_strings import encode_starts, requested_starts
from model.tokenizers import tokenizer_from_model_dir
from model.trained_model import ModelInfo, load_weights, read_model_info
from model.validation import Judge
from model.validators import ValidatorSource, validator_source
from pipelines.generated import Outcome, publish, settle
from pipelines.generation_display import GenerationProgress
from pipelines.report import StageReport, measured

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
        validator: where that comes from, or None.
        spool: where units leave their work.
    """

    config: TensorFlowConfig
    run: RunDirectory
    model: ModelInfo
    units: list[WorkUnit]
    settings: UnitSettings
    judge: Judge
    validator: ValidatorSource | None
    spool: Spool

    @property
    def requested(self) -> int:
        return self.units[-1].end


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
    from runners import pipeline_options, runner_name

    preflight.check(config, "generate")
    with measured("generate") as report:
        options = pipeline_options(beam_args)
        plan = plan_generation(config)
        sampler = functools.partial(
            open_sampler,
            str(plan.run.root.absolute()),
            config.checkpoint,
            sampler_options(config, plan.judge.field_count),
            _threads(options),
        )
        try:
            outcome = run_plan(plan, options, sampler)
            publish(plan, outcome, runner_name(options), report)
        finally:
            shutil.rmtree(plan.spool.directory, ignore_errors=True)
    return report


def plan_generation(config: TensorFlowConfig) -> GenerationPlan:
    """Check everything that can be checked without sampling, and cut the work into units.

    Raises:
        ParameterError, DataError: as `generate`.
    """
    run = run_directory(config)
    model = _model(run, config.checkpoint)
    trained = config_from_model_dir(run.root)
    refuse_complete(run.synthetic, "set of synthetic records", config.overwrite)
    validator = None if config.line_validator is None else validator_source(config.line_validator)
    if validator is not None:
        validator.load()
    delimiter, quoted = trained.field_delimiter, trained.quoted
    field_count = model.field_count if delimiter is not None else None
    columns = None
    if delimiter is not None:
        columns = columns_of(config.columns, model.columns, field_count)
    if columns is not None and set(config.output_format) - {"text"}:
        field_count = len(columns)  # a record of another count has no place in typed output
    units, paired = _units(config, field_count)
    layout = RecordLayout(None if columns is None else tuple(columns), delimiter, quoted, paired)
    return GenerationPlan(
        config=config,
        run=run,
        model=model,
        units=units,
        settings=unit_settings(config, config.max_invalid),
        judge=Judge(None, field_count, delimiter, quoted),
        validator=validator,
        spool=Spool(str(run.temporary.absolute() / "generate"), tuple(config.output_format), layout, len(units)),
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

    def again(unit: WorkUnit, settings: UnitSettings) -> None:
        _run_units(plan, [unit], settings, options, sampler)

    return settle(plan.spool, plan.units, plan.settings, again)


def _run_units(
    plan: GenerationPlan,
    units: Sequence[WorkUnit],
    settings: UnitSettings,
    options: PipelineOptions,
    sampler: Callable[[], SampleSource],
) -> None:
    import apache_beam as beam

    from transforms.generate_records import GenerateRecords, RecordGenerator

    generator = RecordGenerator(sampler, settings, plan.judge, plan.validator, plan.spool)
    with (
        GenerationProgress(plan.spool.progress, sum(unit.end - unit.start for unit in units)),
        beam.Pipeline(options=options) as pipeline,
    ):
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


def _units(config: TensorFlowConfig, field_count: int | None) -> tuple[list[WorkUnit], bool]:
    """The work, and whether each record has a start string of its own."""
    starts, option = requested_starts(config)
    paired = starts is not None and not isinstance(starts, str)
    encoded: tuple[StartString, ...] = ()
    if starts is not None:
        tokenizer = tokenizer_from_model_dir(run_directory(config).root)
        encoded = encode_starts([starts] if isinstance(starts, str) else starts, tokenizer, option, field_count)
    count = len(encoded) if paired else config.gen_lines
    return plan_units(count, config.unit_size, encoded, paired) or [WorkUnit(0, 0, 0)], paired


def _threads(options: PipelineOptions) -> int | None:
    """TensorFlow's threads in each worker; None leaves the choice to it, where one process has the machine."""
    from apache_beam.options.pipeline_options import DirectOptions

    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return None
    cores = os.cpu_count() or 1
    return max(1, cores // (direct.direct_num_workers or cores))
