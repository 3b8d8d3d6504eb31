"""Define the commands of the command line. TensorFlow and Beam are loaded by the stage that needs them, not earlier."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linesmith.cli import console
from linesmith.cli.commands.audit import build_audit_command
from linesmith.cli.commands.evaluate import build_evaluate_command
from linesmith.cli.errors import explain
from linesmith.cli.libraries import check_beam_options, load_libraries
from linesmith.cli.lineage import with_lineage
from linesmith.cli.local_copies import with_fetched_files, with_local_run_directory
from linesmith.cli.options import CommandLine, DebugOption, command, typed_flags
from linesmith.cli.results import show_results
from linesmith.cli.settings import resolve
from linesmith.cli.summary import show_report
from linesmith.core.config.spelling import settings_typed_as
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_INTERNAL_ERROR, EXIT_INTERRUPTED, EXIT_SUCCESS, ParameterError
from linesmith.pipelines.lineage.datasets import RunDatasets
from linesmith.pipelines.lineage.recorder import LineageJob, check_lineage
from linesmith.pipelines.remote.local_paths import after_publishing, check_table_catalog
from linesmith.pipelines.stage_report import StageReport

if TYPE_CHECKING:
    from linesmith.pipelines.remote.mirror import Mirror

_BEAM_HINT = (
    "Every setting can also be given in a --config file. Beam pipeline options are passed on unchanged, for example --runner "
    "FlinkRunner --flink_master host:8081; an option that neither Linesmith nor Beam knows is an error."
)

app = typer.Typer(
    name="linesmith",
    help="Learn from line-delimited text and write synthetic records that keep its structure and statistics.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _run_stages(command_line: CommandLine) -> int:
    """Run `run`, or the one stage that the command names; return the exit code."""
    check_lineage(command_line.openlineage)
    with with_local_run_directory(command_line) as (local, mirror):
        config, beam_args = _prepare(local, mirror)
        place = str(config.checkpoint_dir) if mirror is None else mirror.address
        datasets = RunDatasets(config, Path(str(config.checkpoint_dir)), place, config.dp)
        return with_lineage(
            command_line.openlineage,
            LineageJob(command_line.command, place, config.dp),
            datasets.of_command(command_line.command),
            lambda: _run_command(command_line.command, config, beam_args, after_publishing(_show, mirror)),
        )


def _run_command(
    name: str, config: TensorFlowConfig, beam_args: Sequence[str], show: Callable[[StageReport], int]
) -> int:
    if name == "run":
        from linesmith.pipelines import workflow

        reports = workflow.run(config, beam_args, on_stage=show)
        show_results(console.results(), config, reports)
        return max(report.exit_code for report in reports)
    if name == "tokenize":
        from linesmith.pipelines.tokenize.stage import tokenize

        return show(tokenize(config, beam_args))
    if name == "train":
        from linesmith.pipelines.train.stage import train_model

        return show(train_model(config, beam_args))
    from linesmith.pipelines.generate.stage import generate
    from linesmith.runners import with_all_cores

    return show(generate(config, with_all_cores(beam_args)))


def _plan(command_line: CommandLine) -> int:
    check_beam_options(command_line.beam_args)
    from linesmith.cli.commands.plan import show_plan

    with with_local_run_directory(command_line) as (local, _):
        show_plan(console.results(), resolve(local), command_line.beam_args)
    return EXIT_SUCCESS


def _show(report: StageReport) -> int:
    show_report(console.results(), report)
    return report.exit_code


def _prepare(command_line: CommandLine, mirror: Mirror | None) -> tuple[TensorFlowConfig, tuple[str, ...]]:
    """Resolve the configuration, do every cheap check, and only then load the slow libraries.

    Args:
        command_line: command whose run directory is local.
        mirror: copy of the run directory in a bucket; None: the user gave a local one.
    """
    from linesmith.cli.commands.plan import input_files
    from linesmith.core.artifacts.other_kind import refuse_other_kind
    from linesmith.core.artifacts.run_directory import check_overwrite_allowed, run_directory
    from linesmith.core.config import preflight

    config = with_fetched_files(resolve(command_line), command_line.command)
    check_table_catalog(config, mirror)
    run = run_directory(config)
    preflight.check(config, command_line.command)  # type: ignore[arg-type]
    check_beam_options(command_line.beam_args)
    if command_line.command in ("run", "tokenize") and not input_files(config):
        raise ParameterError("LS205", "--input (input_data_path)", "not set", "Give a file of lines.")
    output = {"run": run.synthetic, "train": run.model, "generate": run.synthetic}.get(command_line.command)
    if output is not None:
        check_overwrite_allowed(output, {"train": "model"}.get(command_line.command, "run"), config.overwrite)
    if command_line.command != "generate":
        refuse_other_kind(config)
    load_libraries()
    return config, command_line.beam_args


_COMMANDS: dict[str, tuple[Callable[[CommandLine], int], str]] = {
    "run": (
        _run_stages,
        "Tokenize, train, generate and evaluate. Resumes an interrupted run that has the same settings.",
    ),
    "tokenize": (_run_stages, "Read the input, reject invalid lines, fit a tokenizer and write training data."),
    "train": (_run_stages, "Train a model on the run directory's training data."),
    "generate": (_run_stages, "Generate validated records from the model in --output. Needs only that directory."),
    "plan": (_plan, "Show what would run, with every default resolved, without running it."),
}
for _name, (_action, _doc) in _COMMANDS.items():
    app.command(
        _name,
        help=_doc,
        epilog=_BEAM_HINT,
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "token_normalize_func": lambda name: name.replace("_", "-"),
        },
    )(command(_name, _action, _doc))  # type: ignore[arg-type]


@app.command("doctor")
def _doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Skip the smoke run.")] = False,
    debug: DebugOption = False,
) -> int:
    """Check this machine: versions, extras, CPUs, memory, GPU, and a smoke run of a few seconds."""
    from linesmith.cli.commands.doctor import show_checks

    return show_checks(console.results(), smoke=not quick)


@app.command("export")
def _export_command(
    run: Annotated[str, typer.Argument(help="The run directory.", metavar="RUN")],
    target: Annotated[str, typer.Argument(help="The archive to write: a path or a bucket address.", metavar="TARGET")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing archive.")] = False,
    debug: DebugOption = False,
) -> int:
    """Pack the model in RUN into one file for generate --model, without training data, rejects or statistics."""
    from linesmith.pipelines.export import export

    return _show(export(os.path.expanduser(run), os.path.expanduser(target), overwrite))


@app.command("import-gretel")
def _import_gretel(
    model_dir: Annotated[
        str,
        typer.Argument(
            help="The model folder (checkpoint_dir) of gretel-synthetics 0.17 to 0.22.", metavar="MODEL_DIR"
        ),
    ],
    out: Annotated[str, typer.Argument(help="The run directory to create; it must not exist.", metavar="OUT")],
    debug: DebugOption = False,
) -> int:
    """Make a run directory of a model that gretel-synthetics trained, for generate --output. Nothing in MODEL_DIR is run."""
    from linesmith.pipelines.import_gretel.stage import import_gretel

    return _show(import_gretel(os.path.expanduser(model_dir), os.path.expanduser(out)))


@app.command("demo")
def _demo(
    output: Annotated[str, typer.Option("--output", help="The run directory to create.")] = "demo-out",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo there.")] = False,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="Maximum training time in seconds.")] = 150,
    lines: Annotated[int, typer.Option("--lines", min=20, help="Number of airports to learn from.")] = 8000,
    num_lines: Annotated[int, typer.Option("--num-lines", min=1, help="Number of airports to generate.")] = 600,
    debug: DebugOption = False,
) -> int:
    """Run every stage on real public data: learn from the world's airports, then generate new ones."""
    from linesmith.cli.commands.demo import DemoPlan, run_demo

    plan = DemoPlan(
        output=os.path.expanduser(output), overwrite=overwrite, seconds=seconds, lines=lines, num_lines=num_lines
    )
    return run_demo(console.results(), plan, load=load_libraries)


app.command("evaluate", epilog=_BEAM_HINT, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    build_evaluate_command(load_libraries, _show)
)
app.command("audit")(build_audit_command(load_libraries, _show))


@app.command("compare")
def _compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A directory with a report.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Another directory with a report.")],
    debug: DebugOption = False,
) -> int:
    """Show the reports of two runs side by side."""
    from linesmith.cli.commands.compare import show_comparison
    from linesmith.cli.local_copies import local_output

    roots = (os.path.expanduser(run_a), os.path.expanduser(run_b))
    with local_output(roots[0], "compare") as root_a, local_output(roots[1], "compare") as root_b:
        return show_comparison(console.results(), (run_a, root_a), (run_b, root_b))


def _show_version(requested: bool) -> None:
    if requested:
        commit = files("linesmith").joinpath("_commit.txt")  # written when the package was built
        built_from = f" (built from {commit.read_text('utf-8').strip()})" if commit.is_file() else ""
        console.results().print(f"linesmith {metadata.version('linesmith')}{built_from}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run_command_line(args: Sequence[str]) -> int:
    """Run one command and return its exit code; every error becomes one paragraph on standard error."""
    debug = "--debug" in args
    console.set_up_logging(debug)
    with settings_typed_as(typed_flags(args)):
        return _run_parsed(args, debug)


def _run_parsed(args: Sequence[str], debug: bool) -> int:
    try:
        result = typer.main.get_command(app).main(list(args), prog_name="linesmith", standalone_mode=False)
        if result == EXIT_INTERRUPTED:  # typer turns KeyboardInterrupt into it
            console.error("interrupted; run the same command again to go on where it stopped.")
        return result if isinstance(result, int) else EXIT_SUCCESS
    except SystemExit as exit_request:  # the reader of standard output is gone, as in `linesmith plan | head`
        return exit_request.code if isinstance(exit_request.code, int) else EXIT_INTERNAL_ERROR
    except Exception as error:
        if debug:
            console.print_traceback()
        message, code = explain(error)
        console.error(message)
        return code


def main() -> None:
    """Run the `linesmith` command: its entry point."""
    sys.exit(run_command_line(sys.argv[1:]))
