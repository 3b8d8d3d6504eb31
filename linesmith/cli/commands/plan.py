"""Run `linesmith plan`: print what a run would read and do, with every default resolved, without running anything."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from linesmith.cli.commands.column_facts import column_facts
from linesmith.cli.options import PANELS, panel_of
from linesmith.cli.summary import human_bytes, human_count
from linesmith.core.addresses import redact_address
from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.other_kind import refuse_other_kind
from linesmith.core.artifacts.params import redact_settings
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory, workspace
from linesmith.core.artifacts.shapes import CountedManifest, Statistics
from linesmith.core.config import preflight
from linesmith.core.config.input_format import ICEBERG
from linesmith.core.config.privacy_checks import user_field_index, vocabulary_mode
from linesmith.core.config.privacy_warnings import row_warnings
from linesmith.core.config.setting_field import default_of
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields
from linesmith.core.errors import ParameterError, TooFewRecordsError
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE
from linesmith.pipelines.tokenize.source import input_format_fact, with_input_format
from linesmith.pipelines.train.field_layout import planned_parents
from linesmith.records.input.file_patterns import find_local_files

_STAGES = ("tokenize", "train", "generate")


def show_plan(console: Console, config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> None:
    """Print the plan; raise what the run would raise before its first stage.

    Args:
        console: where to print.
        config: settings of the run.
        beam_args: Beam arguments of the command line.

    Raises:
        ParameterError, DataError: as the run.
    """
    given, config = config, with_input_format(config)
    preflight.check(config, "run")
    if config.checkpoint_dir is not None:
        refuse_other_kind(config)
    files = input_files(config)
    console.print("[bold]Settings[/bold]")
    console.print(_settings_table(config), markup=False)
    console.print("[bold]Resolved[/bold]")
    console.print(
        _pairs({"input": input_format_fact(given, config), **resolved_settings(config, beam_args)}), markup=False
    )
    if files:
        console.print("[bold]Input[/bold]")
        console.print(
            _pairs(
                {
                    redact_address(path): human_bytes(size) if size is not None else "remote"
                    for path, size in files.items()
                }
            ),
            markup=False,
        )
    columns = column_facts(config, files)
    if columns:
        console.print("[bold]Columns with a role, or that look like identifiers or personal data[/bold]")
        console.print(_pairs(columns), markup=False)
    if config.dp:
        console.print("[bold]Privacy[/bold]")
        console.print(_pairs(_privacy(config, files)), markup=False)
    if config.checkpoint_dir is not None:
        console.print("[bold]Stages, in order[/bold]")
        console.print(_pairs(stage_states(config)), markup=False)


def resolved_settings(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> dict[str, str]:
    """Return the effective choice behind each default, and what an existing run directory has learned, by topic.

    Args:
        config: settings of the run.
        beam_args: Beam arguments of the command line.
    """
    facts = {
        "best epoch by": config.metric,
        "early stopping": f"after {config.early_stopping_patience} epochs without {config.early_stopping_min_delta} gained"
        if config.early_stopping
        else "off",
        "vocabulary": _vocabulary(config),
        "split": _split(config),
        "runner": _runner(beam_args),
        "weights to generate with": config.checkpoint or ("best" if config.save_best_model else "last"),
        "invalid records": f"at most {config.max_invalid:,}"
        if config.max_invalid is not None
        else f"end the run only below a valid rate of {config.min_valid_rate:g}",
    }
    facts |= planned_parents(config)
    if config.column_differences:
        written = (f"{name}: from {base}" for name, (base, _) in config.column_differences.items())
        facts["differences"] = "; ".join(written)
    if config.dp:  # the privacy claim does not cover a choice by the raw loss
        facts |= _private_choices(config)
    return facts | (_run_facts(config) if config.checkpoint_dir is not None else {})


def _private_choices(config: TensorFlowConfig) -> dict[str, str]:
    """Return what early stopping and the choice of weights depend on in a private run."""
    if config.dp_validation == "budget":
        return {
            "best epoch by": "none: the last step's weights are used",
            "early stopping": "at the privacy budget",
            "weights to generate with": config.checkpoint or "last",
        }
    source = {"noised": "a noised loss", "public_file": "a public file"}[config.dp_validation]
    return {"best epoch by": f"val_loss of {source}"}


def input_files(config: TensorFlowConfig) -> dict[str, int | None]:
    """Return the files that `--input` matches, with their sizes in bytes; None for the size of a remote pattern.

    Args:
        config: settings of the run.

    Raises:
        DataError: LS205, a pattern matches no file.
    """
    setting = config.input_data_path
    patterns = [] if setting is None else [setting] if isinstance(setting, str) else setting
    if config.input_format == ICEBERG:
        return dict.fromkeys(patterns)
    sizes: dict[str, int | None] = {}
    for pattern in patterns:
        if "://" in pattern:
            sizes[pattern] = None
            continue
        sizes |= {path: os.path.getsize(path) for path in find_local_files(pattern, "--input")}
    return sizes


def stage_states(config: TensorFlowConfig) -> dict[str, str]:
    """Return for each stage whether it is complete or to do."""
    run, run_workspace = run_directory(config), workspace(config)
    outputs = {"tokenize": run_workspace.training_data, "train": run_workspace.model, "generate": run.synthetic}
    states = {}
    for stage in _STAGES:
        complete = read_manifest(outputs[stage]) is not None
        states[stage] = "complete" if complete and not (config.overwrite and stage == "generate") else "to do"
    return states


def _settings_table(config: TensorFlowConfig) -> Table:
    table = Table.grid(padding=(0, 2))
    plain = redact_settings(config.as_dict())
    panels: dict[str, list[str]] = {}
    for name, info in fields().items():
        if name in plain:
            panels.setdefault(panel_of(name, info), []).append(name)
    for panel in PANELS.values():
        for name in panels.get(panel, []):
            changed = plain[name] != default_of(fields()[name])
            table.add_row("  " + name, _value_text(plain[name]), "given" if changed else "", panel)
    return table


def _pairs(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row("  " + name, value)
    return table


def _value_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={'+'.join(of) if isinstance(of, list) else of}" for name, of in value.items())
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _vocabulary(config: TensorFlowConfig) -> str:
    if vocabulary_mode(config) != "raw":
        return "the 256 bytes, public" if vocabulary_mode(config) == "bytes" else f"{config.dp_vocabulary}, over bytes"
    if config.vocab_size == 0:
        return "characters, all that occur"
    return f"SentencePiece {config.sentencepiece_type}, {config.vocab_size:,} pieces; fewer where the data is small"


def _privacy(config: TensorFlowConfig, files: dict[str, int | None]) -> dict[str, str]:
    """Return the privacy plan for the existing training data, else for an estimate of the records in the input."""
    from linesmith.cli.commands import input_estimates, privacy_estimates
    from linesmith.model.privacy.plan_from_config import plan_privacy
    from linesmith.pipelines.privacy_ledgers import vocabulary_release

    run = run_directory(config) if config.checkpoint_dir is not None else None
    manifest = read_manifest(run.training_data, CountedManifest) if run is not None else None
    if run is not None and manifest is not None:
        counts = manifest["counts"]
        units, vocabulary = _tokenized_units(config, run, counts), counts["vocab_size"]
        statistics = run.training_data / "statistics.json"
        known = read_json(statistics, "the statistics", Statistics) if statistics.is_file() else {}
        longer = input_estimates.share_longer_than_seq_length(known, config.seq_length)
    else:
        lines = input_estimates.count_lines(config, files) if files else None
        if lines is None:
            return {"plan": "unknown before tokenize has counted the records; run tokenize, then plan again"}
        # 258: the 256 bytes and two special tokens.
        units, vocabulary = input_estimates.expected_records(config, lines.count), 258
        longer = lines.longer / lines.count if lines.count else None
    if units == 0:
        raise TooFewRecordsError(
            "LS207",
            None,
            "too few records: none is left to train on",
            "Give more lines, or set --no-validation-split and --holdout-fraction 0.",
        )
    plan = plan_privacy(config, units)
    release = None if run is None else vocabulary_release(run.training_data)
    facts = privacy_estimates.privacy_facts(config, plan, vocabulary, release)
    if manifest is None:
        facts[f"training {plan.unit}s"] = (
            f"about {units:,}, from the lines of the input; the run counts them exactly"
            if plan.unit == "record"
            else f"at most {units:,}, the lines of the input; the run counts the users, and fewer need more noise"
        )
    spent = None if run is None else run.raw / RUN_LEDGER_FILE
    if spent is not None and spent.is_file():
        facts["begun here before"] = privacy_estimates.ledger_fact(str(spent), RUN_LEDGER_FILE, plan, release)
    number = sum(name.startswith("warning") for name in facts)
    warnings = row_warnings(config, longer)
    return facts | {f"warning {number + i}": text for i, text in enumerate(warnings, 1)}


def _tokenized_units(config: TensorFlowConfig, run: RunDirectory, counts: dict[str, Any]) -> int:
    """Return the number of records, or of users, in the training split of the existing training data."""
    if user_field_index(config) is None:
        return int(counts["splits"]["train"]["records"])
    from linesmith.model.privacy.users import build_user_index

    files = sorted(run.training_data.glob("train-*.tfrecord.gz"))
    expected = counts["splits"]["train"]["records"]
    return len(build_user_index(files, per_user=config.dp_records_per_user, expected=expected))


def _split(config: TensorFlowConfig) -> str:
    validation = 0.2 if config.validation_split else 0.0
    train = 1 - validation - config.holdout_fraction
    return f"train {train:.0%}, validation {validation:.0%}, holdout {config.holdout_fraction:.0%}, by content"


def _runner(beam_args: Sequence[str]) -> str:
    if not beam_args:
        return "FnApiRunner, in this process"
    from linesmith.runners import pipeline_options, runner_name

    return runner_name(pipeline_options(beam_args))


def _run_facts(config: TensorFlowConfig) -> dict[str, str]:
    """Return what an existing run directory holds: its records, the training steps they make, and its model."""
    try:
        run = run_directory(config)
    except ParameterError:
        return {}
    facts: dict[str, str] = {}
    manifest = read_manifest(run.training_data, CountedManifest)
    if manifest is not None:
        splits = manifest["counts"]["splits"]
        facts["records"] = ", ".join(f"{side} {human_count(part['records'])}" for side, part in splits.items())
        if not config.dp:
            facts["steps"] = _steps(config, splits["train"])
    if run.has_model():
        facts |= _model_facts(run)
    return facts


def _model_facts(run: RunDirectory) -> dict[str, str]:
    from linesmith.core.artifacts.model_info import read_model_info

    info = read_model_info(run.root)
    return {
        "vocabulary learned": f"{info.vocab_size:,} ids",
        "longest record generated": f"{info.length_cap_tokens:,} tokens",
        "fields": "not the same in every record" if info.field_count is None else str(info.field_count),
        "columns": _value_text(info.columns),
        "best epoch": _value_text(info.best_epoch),
        "training stopped by": _value_text(info.stopped),
    }


def _steps(config: TensorFlowConfig, split: dict[str, int]) -> str:
    """Return an estimate of the training steps.

    Records are packed into rows without being cut, so rows are not always full and the true count is a little higher.
    """
    per_epoch = max(1, math.ceil(split["tokens"] / (config.seq_length * config.batch_size)))
    return f"about {per_epoch:,} per epoch, {per_epoch * config.epochs:,} at most"
