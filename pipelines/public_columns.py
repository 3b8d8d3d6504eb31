"""Names of the columns that settings give, whatever is in the records."""

from __future__ import annotations

from linesmith.core.config.tensorflow_config import TensorFlowConfig


def public_columns(config: TensorFlowConfig) -> list[str] | None:
    """Return the names of the columns by `columns` or the schema; None where neither is given.

    Args:
        config: the settings.

    Raises:
        ParameterError: LS111, the schema cannot be read.
    """
    if config.columns is not None or config.schema_file is None:
        return config.learned_columns
    from linesmith.records.output.schema import read_schema

    return list(read_schema(config.schema_file).names)
