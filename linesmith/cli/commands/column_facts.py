"""Say for `linesmith plan` what becomes of columns: their roles, and which look like personal data and would be learned."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.public_columns import public_columns
from linesmith.pipelines.tokenize.personal_data import look_for_personal_data, refuse_personal_data
from linesmith.records.roles.personal_data import Finding, look_at_columns


def column_facts(config: TensorFlowConfig, files: Iterable[str]) -> dict[str, str]:
    """Return what becomes of the columns that have a role or look like personal data, by name.

    The first records of local files are read. With `dp` only the names of the settings are judged.

    Args:
        config: settings of the run.
        files: the input files.

    Raises:
        ParameterError: LS140, a role is of a column that is not there.
        DataError: LS251, `refuse_pii` is on and columns look like personal data; the input cannot be used.
    """
    facts = dict(config.column_role) if isinstance(config.column_role, dict) else {}
    if config.field_delimiter is None or any("://" in file for file in files):
        return facts
    if config.dp:
        names = [name for name in public_columns(config) or [] if name not in config.roles]
        found = look_at_columns(names, [], names_only=True)
        refuse_personal_data(config, found)
        return facts | _advice(found)
    if not files:
        return facts
    from linesmith.pipelines.tokenize.column_roles import with_column_roles, with_table_roles
    from linesmith.pipelines.tokenize.source import glance_at_source
    from linesmith.records.input.input_ranges import plan_input_units
    from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
    from linesmith.transforms.find_inputs import find_inputs
    from linesmith.transforms.read_records import ReadSettings

    # A run directory stores no path of a reference; that of a plan over one is not needed to look at columns.
    looked_at = {name: "drop" if text == "ref" else text for name, text in facts.items()}
    config = config.model_copy(update={"column_role": looked_at or None})
    with tempfile.TemporaryDirectory() as scratch:
        inputs = find_inputs(config, Path(scratch))
        units = plan_input_units(inputs)
        splitter = DatasetSplitter(config.holdout_fraction, config.validation_split)
        settings = ReadSettings(RecordFormat.from_config(config), splitter, config.header)
        table = glance_at_source(config, inputs, units)
        if table is None:
            settings, _ = with_column_roles(config, units, settings)
        else:
            settings = with_table_roles(config, table, settings)
        found = look_for_personal_data(config, units, settings, [])
    return facts | _advice(found)


def _advice(found: Iterable[Finding]) -> dict[str, str]:
    return {finding.column: f"learned; looks like {finding.looks_like}: {finding.role} would fit" for finding in found}
