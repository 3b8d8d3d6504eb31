"""Values that workers need, taken from a configuration: how tokens are drawn, settings of attempts and of the sampler."""

from __future__ import annotations

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.discriminator.discriminator import load_discriminator
from linesmith.model.discriminator.selecting_sampler import SelectingSampler
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.model.sampling.candidates import CANDIDATES
from linesmith.model.sampling.sample_types import DrawSettings
from linesmith.model.sampling.sampler import Sampler, SamplerOptions
from linesmith.records.fields import FieldFormat
from linesmith.records.output.schema import schema_text


def with_model_defaults(config: TensorFlowConfig, info: ModelInfo) -> TensorFlowConfig:
    """Return a configuration in which the settings that a model has defaults of its own for have values.

    Args:
        config: the settings of the run.
        info: description of the model that generates.
    """
    if config.gen_top_p is not None:
        return config
    share = None if config.exact_distribution else info.top_p
    return config.replace(gen_top_p=1.0 if share is None else share)


def draw_settings(config: TensorFlowConfig, ordered: bool = False) -> DrawSettings:
    """Return how tokens are drawn under a configuration. The network gets this object as it is.

    Args:
        config: the settings of the run.
        ordered: the ids of the model's records have another order than the text, so that the field of a start string may come
            after one that is drawn.
    """
    return DrawSettings(
        seed=config.seed,
        temperature=config.gen_temp,
        gen_chars=config.gen_chars,
        top_k=config.gen_top_k,
        top_p=1.0 if config.gen_top_p is None else config.gen_top_p,
        candidates=CANDIDATES if ordered or config.has_conditions else 1,
    )


def attempt_settings(
    config: TensorFlowConfig, max_invalid: int | None, keep_invalid: int | None = 10_000, ordered: bool = False
) -> AttemptSettings:
    """Return the settings of attempts in a configuration.

    Args:
        config: the settings of the run.
        max_invalid: most invalid records, which the Python interface and the stage default differently; None: no limit.
        keep_invalid: how many invalid records of a unit are kept; None: all.
        ordered: as for `draw_settings`.
    """
    return AttemptSettings(
        draw_settings=draw_settings(config, ordered),
        max_attempts=config.max_attempts,
        min_valid_rate=config.min_valid_rate,
        max_invalid=max_invalid,
        keep_invalid=keep_invalid,
        exact_distribution=config.exact_distribution,
    )


def sampler_options(
    config: TensorFlowConfig, info: ModelInfo, field_count: int | None = None, inferred_schema: str | None = None
) -> SamplerOptions:
    """Return how the sampler of a configuration is set up. Files are read here, so that workers need none.

    Args:
        config: the settings.
        info: description of the model that generates.
        field_count: number of fields of every record, where the configuration and not the model knows it.
        inferred_schema: inferred types by which records are judged, as an Avro schema; None: there are none.

    Raises:
        ParameterError: the schema file cannot be read.
    """
    schema = None if config.schema_file is None else schema_text(config.schema_file)
    return SamplerOptions(
        config.matmul_precision,
        config.field_aware,
        schema,
        field_count,
        inferred_schema=inferred_schema,
        drafts=config.gen_drafts if uses_discriminator(config, info) else 1.0,
    )


def uses_discriminator(config: TensorFlowConfig, info: ModelInfo) -> bool:
    """Return whether a model's discriminator chooses among drafts.

    It has learned what the model's own distribution lacks, so it says nothing about records that are drawn from another one, by
    other weights, or cut.

    Args:
        config: the settings of the run.
        info: description of the model that generates.
    """
    own_top_p = (None, 1.0 if info.top_p is None else info.top_p)
    own_distribution = config.gen_temp == 1 and config.gen_top_k == 0 and config.gen_top_p in own_top_p
    whole = config.field_aware and config.checkpoint is None and not config.gen_chars
    return own_distribution and whole and not config.exact_distribution and config.gen_drafts > 1


def open_sampler(
    run_dir: str,
    checkpoint: str | None = None,
    options: SamplerOptions | None = None,
    threads: int | None = None,
) -> SampleSource:
    """Load the model of a run directory, and its discriminator where one is used.

    Args:
        run_dir: the run directory.
        checkpoint: an epoch's number, 'best' or 'last'; None: the model's default.
        options: precision, masks, block size, drafts.
        threads: cores that sampling may use; None: all that the process has.

    Raises:
        DataError, ParameterError: as `Sampler` and `load_discriminator`.
    """
    sampler = Sampler(run_dir, checkpoint=checkpoint, threads=threads, options=options)
    drafts = 1.0 if options is None else options.drafts
    discriminator = load_discriminator(run_dir, sampler.info) if drafts > 1 else None
    if discriminator is None:
        return sampler
    split = sampler.tokenizer.token_format
    return SelectingSampler(sampler, discriminator, FieldFormat(split.field_delimiter, split.quoted), drafts)
