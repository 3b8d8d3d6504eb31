"""What a run would do, before anything is spent: every 'auto' resolved, what is read, in which order, how many steps."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from linesmith.cli.options import PANELS, panel_of
from linesmith.cli.summary import human_bytes, human_count
from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory, workspace
from linesmith.core.config import preflight
from linesmith.core.config.privacy_checks import user_field_index, vocabulary_mode
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields
from linesmith.core.errors import DataError, ParameterError, TooFewRecordsError
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE

_STAGES = ("tokenize", "train", "generate")


def show_plan(console: Console, config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> None:
    """Print the plan; raise what the run would raise before its first stage."""
    preflight.check(config, "run")
    files = input_files(config)
    console.print("[bold]Settings[/bold]")
    console.print(_settings_table(config))
    console.print("[bold]Resolved[/bold]")
    console.print(_pairs(resolved(config, beam_args)))
    if files:
        console.print("[bold]Input[/bold]")
        console.print(
            _pairs({path: human_bytes(size) if size is not None else "remote" for path, size in files.items()})
        )
    if config.dp:
        console.print("[bold]Privacy[/bold]")
        console.print(_pairs(_privacy(config, files)))
    if config.checkpoint_dir is not None:
        console.print("[bold]Stages, in order[/bold]")
        console.print(_pairs(stage_states(config)))


def resolved(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> dict[str, str]:
    """What stands behind each default that is decided elsewhere, and what an existing run has learnt."""
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
    if config.dp:  # a choice by the raw loss would not be covered by the claim
        facts |= _private_choices(config)
    return facts | (_learnt(config) if config.checkpoint_dir is not None else {})


def _private_choices(config: TensorFlowConfig) -> dict[str, str]:
    """What stopping and choosing go by in a private run."""
    if config.dp_validation == "budget":
        return {
            "best epoch by": "none: the last step's weights are used",
            "early stopping": "at the privacy budget",
            "weights to generate with": config.checkpoint or "last",
        }
    source = {"noised": "a noised loss", "public_file": "a public file"}[config.dp_validation]
    return {"best epoch by": f"val_loss of {source}"}


def input_files(config: TensorFlowConfig) -> dict[str, int | None]:
    """The files behind `--input`, with their sizes; None for what is not on this machine.

    Raises:
        DataError: nothing is there.
    """
    given = config.input_data_path
    patterns = [] if given is None else [given] if isinstance(given, str) else given
    found: dict[str, int | None] = {}
    for pattern in patterns:
        if "://" in pattern:
            found[pattern] = None
            continue
        # A path that exists is taken literally, even with glob characters in its name.
        matched = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        paths = sorted(path for path in matched if os.path.isfile(path))
        if not paths:
            what = "is a directory; give the files in it" if os.path.isdir(pattern) else "matches no file"
            raise DataError(f"LS205: --input '{pattern}' {what}, for example --input '{pattern.rstrip('/')}/*.csv'.")
        found |= {path: os.path.getsize(path) for path in paths}
    return found


def stage_states(config: TensorFlowConfig) -> dict[str, str]:
    """What would happen to each stage."""
    run, space = run_directory(config), workspace(config)
    places = {"tokenize": space.training_data, "train": space.model, "generate": run.synthetic}
    states = {}
    for stage in _STAGES:
        complete = read_manifest(places[stage]) is not None
        states[stage] = "complete" if complete and not (config.overwrite and stage == "generate") else "to do"
    return states


def _settings_table(config: TensorFlowConfig) -> Table:
    table = Table.grid(padding=(0, 2))
    plain = config.as_dict()
    panels: dict[str, list[str]] = {}
    for name, info in fields().items():
        if name in plain:
            panels.setdefault(panel_of(name, info), []).append(name)
    for panel in PANELS.values():
        for name in panels.get(panel, []):
            changed = plain[name] != fields()[name].default
            table.add_row("  " + name, _shown(plain[name]), "given" if changed else "", panel)
    return table


def _pairs(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row("  " + name, value)
    return table


def _shown(value: object) -> str:
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _vocabulary(config: TensorFlowConfig) -> str:
    if vocabulary_mode(config) != "raw":
        return "the 256 bytes, public" if vocabulary_mode(config) == "bytes" else f"{config.dp_vocabulary}, over bytes"
    if config.vocab_size == 0:
        return "characters, all that occur"
    return f"SentencePiece {config.sentencepiece_type}, {config.vocab_size:,} pieces; fewer where the data is small"


def _privacy(config: TensorFlowConfig, files: dict[str, int | None]) -> dict[str, str]:
    """The privacy plan over the training data that lie there, or over as many records as the input seems to hold."""
    from linesmith.cli.commands import privacy_estimates as view
    from linesmith.model.privacy.plan import plan_privacy

    run = run_directory(config) if config.checkpoint_dir is not None else None
    manifest = read_manifest(run.training_data) if run is not None else None
    if run is not None and manifest is not None:
        counts = manifest["counts"]
        units, vocabulary = _tokenized_units(config, run, counts), counts["vocab_size"]
        statistics = run.training_data / "statistics.json"
        known = read_json(statistics, "the statistics") if statistics.is_file() else {}
        longer = view.share_longer_than_seq_length(known, config.seq_length)
    else:
        lines = view.look_at_lines(config, files) if files else None
        if lines is None:
            return {"plan": "unknown before tokenize has counted the records; run tokenize, then plan again"}
        units, vocabulary = view.expected_records(config, lines.count), 258
        longer = lines.longer / lines.count if lines.count else None
    if units == 0:
        raise TooFewRecordsError(
            "LS207: too few records: none is left to train on. Give more lines, or set --no-validation-split and "
            "--holdout-fraction 0.",
            code="LS207",
        )
    plan = plan_privacy(config, units)
    facts = view.privacy_facts(config, plan, vocabulary)
    if manifest is None:
        facts[f"training {plan.unit}s"] = (
            f"about {units:,}, from the lines of the input; the run counts them exactly"
            if plan.unit == "record"
            else f"at most {units:,}, the lines of the input; the run counts the users, and fewer need more noise"
        )
    spent = None if run is None else run.raw / RUN_LEDGER_FILE
    if spent is not None and spent.is_file():
        facts["begun here before"] = view.ledger_fact(str(spent), RUN_LEDGER_FILE, plan)
    number = sum(name.startswith("warning") for name in facts)
    return facts | {f"warning {number + i}": text for i, text in enumerate(view.row_warnings(config, longer), 1)}


def _tokenized_units(config: TensorFlowConfig, run: RunDirectory, counts: dict[str, Any]) -> int:
    """Records, or users, on the training side of training data that are there."""
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


def _learnt(config: TensorFlowConfig) -> dict[str, str]:
    """Counts that an existing run directory holds, and the training steps they make."""
    try:
        run = run_directory(config)
    except ParameterError:
        return {}
    facts: dict[str, str] = {}
    manifest = read_manifest(run.training_data)
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
        "vocabulary learnt": f"{info.vocab_size:,} ids",
        "longest record generated": f"{info.length_cap_tokens:,} tokens",
        "fields": "not the same in every record" if info.field_count is None else str(info.field_count),
        "columns": _shown(info.columns),
        "best epoch": _shown(info.best_epoch),
        "training stopped by": _shown(info.stopped),
    }


def _steps(config: TensorFlowConfig, split: dict[str, int]) -> str:
    """Whole records are packed into rows, so a row is not always full: the true count is a little higher."""
    an_epoch = max(1, math.ceil(split["tokens"] / (config.seq_length * config.batch_size)))
    return f"about {an_epoch:,} an epoch, {an_epoch * config.epochs:,} at most"
