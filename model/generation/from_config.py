"""From a configuration to what a worker needs: the rules about attempts, how the sampler is set up, and the sampler itself."""

from __future__ import annotations

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.model.sampling.sampler import Sampler, SamplerOptions
from linesmith.records.output.schema import schema_text


def attempt_settings(
    config: TensorFlowConfig, max_invalid: int | None, keep_invalid: int | None = 10_000
) -> AttemptSettings:
    """The rules about attempts in a configuration; where a run's own limits apply, they are given."""
    return AttemptSettings(
        seed=config.seed,
        temperature=config.gen_temp,
        gen_chars=config.gen_chars,
        max_attempts=config.max_attempts,
        min_valid_rate=config.min_valid_rate,
        max_invalid=max_invalid,
        keep_invalid=keep_invalid,
        top_k=config.gen_top_k,
        top_p=config.gen_top_p,
        exact=config.exact_distribution,
    )


def sampler_options(config: TensorFlowConfig, field_count: int | None = None) -> SamplerOptions:
    """How the sampler of a configuration is set up; files are read here, so that workers need none.

    Args:
        config: the settings.
        field_count: number of fields of every record, where the configuration and not the model knows it.

    Raises:
        ParameterError: the schema file cannot be read.
    """
    schema = None if config.schema_file is None else schema_text(config.schema_file)
    return SamplerOptions(config.matmul_precision, config.field_aware, schema, field_count)


def open_sampler(
    run_dir: str,
    checkpoint: str | None = None,
    options: SamplerOptions | None = None,
    threads: int | None = None,
) -> SampleSource:
    """Load the model of a run directory; imports TensorFlow.

    Raises:
        DataError, ParameterError: as `Sampler`.
    """
    return Sampler(run_dir, checkpoint=checkpoint, threads=threads, options=options)
