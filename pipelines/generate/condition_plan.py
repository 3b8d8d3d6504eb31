"""Conditions of a run: what each record is given is encoded before the first record is sampled."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.setting_field import flag_name, option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.generation.from_config import sampler_options
from linesmith.model.generation.output_plan import OutputPlan
from linesmith.model.generation.requests.condition_requests import (
    condition_notices,
    condition_settings,
    conditioned_starts,
    plan_cyclic_units,
)
from linesmith.model.generation.requests.conditions import ConditionCounts, ConditionEncoder, ConditionSettings
from linesmith.model.generation.requests.partial_records import condition_error
from linesmith.model.generation.requests.start_string_store import write_store_counts
from linesmith.model.generation.work_units import StartString
from linesmith.model.sampling.masks import token_automaton
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.pipelines.generate.start_string_plan import (
    EMPTY_UNIT,
    StartStringPlan,
    encode_files,
    is_paired,
    new_store,
    paired_plan,
)

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.model.sampling.sample_types import SamplerOptions


def plan_conditions(
    config: TensorFlowConfig, run: RunDirectory, model: ModelInfo, output: OutputPlan, options: PipelineOptions
) -> StartStringPlan:
    """Encode the conditions of the settings, and divide the run into units.

    Args:
        config: the settings, with local paths.
        run: the run directory.
        model: description of the model.
        output: the plan of the output.
        options: pipeline options; several files are encoded by a pipeline.

    Raises:
        ParameterError: LS132, a condition or a file cannot be used.
    """
    settings = condition_settings(config, model, output)
    sampler = sampler_options(config, model, output.field_count, output.inferred_schema)
    if is_paired(config):
        return _plan_files(config, run, settings, sampler, options)
    tokenizer = tokenizer_from_model_dir(run.root)
    encoder = ConditionEncoder(settings, tokenizer, token_automaton(tokenizer, model, sampler))
    starts = conditioned_starts(config, settings, encoder, output)
    units = plan_cyclic_units(starts, config.gen_lines, config.unit_size) or [EMPTY_UNIT]
    notices = condition_notices(config, settings, encoder.counts, encoder)
    return StartStringPlan(units, False, {"count": len(starts), "sha256": _digest(starts)}, tuple(notices))


def _plan_files(
    config: TensorFlowConfig,
    run: RunDirectory,
    settings: ConditionSettings,
    sampler: SamplerOptions,
    options: PipelineOptions,
) -> StartStringPlan:
    from linesmith.transforms.encode_start_strings import StartStringSettings, match_start_string_files

    name = "where_file" if config.where_file is not None else "impute"
    pattern = str(getattr(config, name))
    store = new_store(run)
    how = StartStringSettings(
        str(run.root.absolute()), None, len(settings.columns), str(store.absolute()), (settings, sampler)
    )
    files = match_start_string_files(pattern, flag_name(name), condition_error)
    results = encode_files(files, how, "LS132", store, options)
    total = write_store_counts(store, [result.count for result in results])
    if total == 0:
        raise condition_error(option_text(name, pattern), "it holds no record", "Write at least one.")
    counts = ConditionCounts()
    for result in results:
        for kind in ("unseen", "replaced", "unchecked"):
            getattr(counts, kind).update(getattr(result, kind))
    plan = paired_plan(config, store, total, len(results))
    return StartStringPlan(plan.units, True, plan.identity, tuple(condition_notices(config, settings, counts)))


def _digest(starts: tuple[StartString, ...]) -> str:
    return hashlib.sha256(repr([(start.text, start.ids) for start in starts]).encode()).hexdigest()
