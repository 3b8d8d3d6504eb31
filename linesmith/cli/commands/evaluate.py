"""Run `linesmith evaluate` on a run directory, or on any three sets of records."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from linesmith.cli.libraries import check_beam_options
from linesmith.cli.lineage import with_lineage
from linesmith.cli.local_copies import with_local_run_directory
from linesmith.cli.options import CommandLine, DebugOption, LineageOption
from linesmith.cli.settings import resolve
from linesmith.core.config.input_format import AVRO, CSV, JSONL, PARQUET, TEXT, InputFormat
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.config.tokenization import unescape_delimiter
from linesmith.core.errors import ParameterError
from linesmith.pipelines.lineage.datasets import Datasets, RunDatasets, dataset_at
from linesmith.pipelines.lineage.recorder import LineageJob, check_lineage
from linesmith.pipelines.remote.local_paths import after_publishing
from linesmith.pipelines.stage_report import StageReport


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `evaluate`, as given on the command line; `headers` holds those of single sets, by set."""

    output: str | None = None
    config_file: str | None = None
    real: Sequence[str] = field(default_factory=tuple)
    holdout: Sequence[str] = field(default_factory=tuple)
    synthetic: Sequence[str] = field(default_factory=tuple)
    input_format: str | None = None
    field_delimiter: str | None = None
    quoted: bool = False
    header: bool | None = None
    headers: Mapping[str, bool] = field(default_factory=dict)
    encoding: str = "utf-8"
    roles: Sequence[str] = field(default_factory=tuple)
    target: str | None = None
    sample_rows: int | None = None
    fail_under_closeness: float | None = None
    fail_under_privacy: float | None = None
    overwrite: bool = False
    beam_args: Sequence[str] = field(default_factory=tuple)


def build_evaluate_command(
    load: Callable[[Iterable[object]], None], show: Callable[[StageReport], int]
) -> Callable[..., int]:
    """Return the command's function for typer.

    Args:
        load: function that loads the slow libraries, given all that the command line says; called after every cheap check.
        show: function that prints the stage's report and returns its exit code.
    """

    def evaluate(
        ctx: typer.Context,
        output: Annotated[
            str | None, typer.Option("--output", help="Run directory, or directory of the report.")
        ] = None,
        config: Annotated[str | None, typer.Option("--config", help="Settings of the run in a file.")] = None,
        real: Annotated[list[str] | None, typer.Option("--real", help="Files of training records.")] = None,
        holdout: Annotated[
            list[str] | None, typer.Option("--holdout", help="Files of real records not used in training.")
        ] = None,
        synthetic: Annotated[list[str] | None, typer.Option("--synthetic", help="Files of synthetic records.")] = None,
        input_format: Annotated[
            str | None,
            typer.Option(
                "--input-format",
                help="Read all files as rows of csv, jsonl, avro or parquet: records over several lines, nested values. "
                "Default: text lines, or values by the suffix of the file.",
            ),
        ] = None,
        field_delimiter: Annotated[str | None, typer.Option("--field-delimiter", help="Text between fields.")] = None,
        quoted: Annotated[bool, typer.Option("--quoted", help="Ignore delimiters inside double quotes.")] = False,
        header: Annotated[
            bool | None,
            typer.Option(
                "--header/--no-header", help="The first line of every text file names the fields. Default: found out."
            ),
        ] = None,
        real_header: Annotated[bool | None, typer.Option(help="The same for --real alone.")] = None,
        holdout_header: Annotated[bool | None, typer.Option(help="The same for --holdout alone.")] = None,
        synthetic_header: Annotated[bool | None, typer.Option(help="The same for --synthetic alone.")] = None,
        encoding: Annotated[str, typer.Option("--encoding", help="Encoding of text files.")] = "utf-8",
        role: Annotated[
            list[str] | None,
            typer.Option("--role", help="FIELD=ROLE: category, number, time or text; others are inferred."),
        ] = None,
        target: Annotated[
            str | None, typer.Option("--target", help="Field to predict; chosen automatically if unset.")
        ] = None,
        sample_rows: Annotated[
            int | None,
            typer.Option(
                "--sample-rows",
                help="Compare this many synthetic records, a uniform sample by a hash of each record's place. Training and "
                "holdout records are always compared whole.",
            ),
        ] = None,
        fail_under_closeness: Annotated[
            float | None, typer.Option("--fail-under-closeness", help="Exit with 3 below this score, 0 to 1.")
        ] = None,
        fail_under_privacy: Annotated[
            float | None, typer.Option("--fail-under-privacy", help="Exit with 3 below this score, 0 to 1.")
        ] = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.")] = False,
        openlineage: LineageOption = None,
        debug: DebugOption = False,
    ) -> int:
        words = [output, config, *(real or ()), *(holdout or ()), *(synthetic or ()), *ctx.args]
        check_beam_options(ctx.args, words)
        sends_lineage = check_lineage(openlineage)
        output, config = (None if path is None else os.path.expanduser(path) for path in (output, config))
        headers = {"training": real_header, "holdout": holdout_header, "synthetic": synthetic_header}
        options = EvaluateOptions(
            output=output,
            config_file=config,
            real=[os.path.expanduser(path) for path in real or ()],
            holdout=[os.path.expanduser(path) for path in holdout or ()],
            synthetic=[os.path.expanduser(path) for path in synthetic or ()],
            input_format=input_format,
            field_delimiter=field_delimiter,
            quoted=quoted,
            header=header,
            headers={name: value for name, value in headers.items() if value is not None},
            encoding=encoding,
            roles=role or (),
            target=target,
            sample_rows=sample_rows,
            fail_under_closeness=fail_under_closeness,
            fail_under_privacy=fail_under_privacy,
            overwrite=overwrite,
            beam_args=tuple(ctx.args),
        )
        name = "files" if options.real or options.holdout or options.synthetic else "evaluate"
        settings = {} if output is None else {"checkpoint_dir": output}
        command_line = CommandLine(name, settings, config, beam_args=tuple(ctx.args))
        with with_local_run_directory(command_line) as (local, mirror):
            local_output = local.settings.get("checkpoint_dir")
            local_options = dataclasses.replace(options, output=local_output, config_file=local.config_file)
            notify = after_publishing(show, mirror)
            if not sends_lineage:
                return run_evaluation(local_options, lambda: load(words), notify)
            job, datasets = _lineage(local_options, None if mirror is None else mirror.address)
            return with_lineage(
                openlineage, job, datasets, lambda: run_evaluation(local_options, lambda: load(words), notify)
            )

    return evaluate


def run_evaluation(options: EvaluateOptions, load: Callable[[], None], show: Callable[..., int]) -> int:
    """Evaluate, and return the exit code, which is 3 if a score is below its threshold.

    Args:
        options: options whose run directory and settings file are local.
        load: function that loads the slow libraries; called after every cheap check.
        show: function that prints the stage's report and returns its exit code.

    Raises:
        ParameterError: options contradict each other, or one is missing.
    """
    from linesmith.pipelines.evaluate.input_units import TextFormat
    from linesmith.pipelines.evaluate.sets import parse_roles
    from linesmith.pipelines.evaluate.stage import EvaluationSettings, check_libraries, evaluate_files, evaluate_run
    from linesmith.records.fields import FieldFormat

    settings = EvaluationSettings(
        roles=parse_roles(options.roles),
        target=options.target,
        sample_rows=_checked_sample(options.sample_rows),
        fail_under_closeness=_checked_threshold("closeness", options.fail_under_closeness),
        fail_under_privacy=_checked_threshold("privacy", options.fail_under_privacy),
        overwrite=options.overwrite,
    )
    sets = {"training": options.real, "holdout": options.holdout, "synthetic": options.synthetic}
    paths = {name: files for name, files in sets.items() if files}
    check_libraries()
    if not paths:
        config = _run_config(options)
        load()
        return show(evaluate_run(config, options.beam_args, settings))
    if not options.real or not options.synthetic:
        raise ParameterError(
            "LS126",
            None,
            "--real, --holdout and --synthetic go together",
            "Give the first and the last at least, or none of them to evaluate the run in --output.",
        )
    if options.output is None:
        raise ParameterError("LS103", "--output", "not set", "Give a directory for the report.")
    load()
    delimiter = None if options.field_delimiter is None else unescape_delimiter(options.field_delimiter)
    fields = FieldFormat(delimiter, options.quoted)
    text_format = TextFormat(fields, options.header, options.encoding, input_format=_input_format(options.input_format))
    return show(evaluate_files(paths, options.output, text_format, options.beam_args, settings, options.headers))


def _lineage(options: EvaluateOptions, address: str | None) -> tuple[LineageJob, Callable[[bool], Datasets]]:
    """Return how an evaluation is named among the runs of a lineage server, and what it reads and writes.

    Args:
        options: options whose run directory is local.
        address: of the run directory where it is in a bucket.
    """
    from linesmith.core.artifacts.other_kind import is_private_run  # loads NumPy

    paths = [*options.real, *options.holdout, *options.synthetic]
    directory = options.output if paths else _run_config(options).checkpoint_dir
    place, root = address or str(directory or ""), Path(directory or "")
    private = is_private_run(root)
    job = LineageJob("evaluate", place, private)
    run = RunDatasets(TensorFlowConfig(), root, place, private)
    if not paths:
        return job, run.of_command("evaluate")
    datasets = Datasets(tuple(dict.fromkeys(map(dataset_at, paths))), tuple(run.report()))
    return job, lambda _: datasets


def _input_format(given: str | None) -> InputFormat:
    """Return the format of the files of all sets.

    Raises:
        ParameterError: LS116, there is no such format, or its files name no set.
    """
    known: list[InputFormat] = [TEXT, CSV, JSONL, AVRO, PARQUET]
    found = next((name for name in known if name == (given or TEXT)), None)
    if found is None:
        raise ParameterError("LS116", f"--input-format '{given}'", "no format of files", f"Give {', '.join(known)}.")
    return found


def _run_config(options: EvaluateOptions) -> TensorFlowConfig:
    settings = {} if options.output is None else {"checkpoint_dir": options.output}
    return resolve(CommandLine("evaluate", settings, options.config_file))


def _checked_sample(rows: int | None) -> int | None:
    if rows is not None and rows < 1:
        raise ParameterError("LS116", f"--sample-rows {rows}", "out of range", "Give at least 1, or leave it out.")
    return rows


def _checked_threshold(name: str, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise ParameterError("LS116", f"--fail-under-{name} {value:g}", "out of range", "Give a score from 0 to 1.")
    return value
