"""The command line. Reading it is cheap: TensorFlow and Beam are loaded by the stage that needs them, and not before."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated

import typer

from linesmith.cli import console
from linesmith.cli.commands.audit import build_audit_command
from linesmith.cli.errors import explain
from linesmith.cli.libraries import check_beam_options, load_libraries
from linesmith.cli.local_copies import LocalRun, at_hand, with_small_files
from linesmith.cli.options import Given, command
from linesmith.cli.settings import resolve
from linesmith.cli.summary import show_report
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_INTERNAL_ERROR, EXIT_INTERRUPTED, EXIT_SUCCESS, ParameterError
from linesmith.pipelines.stage_report import StageReport

_BEAM_HINT = (
    "Every setting may also stand in a --config file. Beam pipeline options follow as they are, for example --runner "
    "FlinkRunner --flink_master host:8081; an option that neither Linesmith nor Beam knows is refused."
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


def _run(given: Given) -> int:
    with at_hand(given) as (local, here):
        config, beam_args = _prepare(local, here)
        from linesmith.pipelines import workflow

        reports = workflow.run(config, beam_args, on_stage=here.then(_show))
        return max(report.exit_code for report in reports)


def _tokenize(given: Given) -> int:
    with at_hand(given) as (local, here):
        config, beam_args = _prepare(local, here)
        from linesmith.pipelines.tokenize.stage import tokenize

        return here.then(_show)(tokenize(config, beam_args))


def _train(given: Given) -> int:
    with at_hand(given) as (local, here):
        config, beam_args = _prepare(local, here)
        from linesmith.pipelines.train.stage import train

        return here.then(_show)(train(config, beam_args))


def _generate(given: Given) -> int:
    with at_hand(given) as (local, here):
        config, beam_args = _prepare(local, here)
        from linesmith.pipelines.generate.stage import generate
        from linesmith.runners import with_all_cores

        return here.then(_show)(generate(config, with_all_cores(beam_args)))


def _plan(given: Given) -> int:
    check_beam_options(given.beam_args)
    from linesmith.cli.commands.plan import show_plan

    with at_hand(given) as (local, _):
        show_plan(console.results(), resolve(local), given.beam_args)
    return EXIT_SUCCESS


def _export(run_dir: str, target: str, overwrite: bool) -> int:
    from linesmith.pipelines.export import export

    return _show(export(run_dir, target, overwrite))


def _show(report: StageReport) -> int:
    show_report(console.results(), report)
    return report.exit_code


def _prepare(given: Given, here: LocalRun) -> tuple[TensorFlowConfig, tuple[str, ...]]:
    """Check everything that is cheap to check, then load what is not. The run directory is local."""
    from linesmith.cli.commands.plan import input_files
    from linesmith.core.artifacts.run_directory import check_overwrite_allowed, run_directory
    from linesmith.core.config import preflight

    config = with_small_files(resolve(given))
    here.check(config)
    run = run_directory(config)
    preflight.check(config, given.command)  # type: ignore[arg-type]
    check_beam_options(given.beam_args)
    if given.command in ("run", "tokenize") and not input_files(config):
        raise ParameterError("LS205: --input (input_data_path) is not set; give a file of lines.", code="LS205")
    place = {"run": run.synthetic, "train": run.model, "generate": run.synthetic}.get(given.command)
    if place is not None:
        check_overwrite_allowed(place, {"train": "model"}.get(given.command, "run"), config.overwrite)
    load_libraries()
    return config, given.beam_args


_COMMANDS: dict[str, tuple[Callable[[Given], int], str]] = {
    "run": (_run, "Tokenize, train, generate and evaluate; resumes where an earlier, equal run stopped."),
    "tokenize": (_tokenize, "Read the input, set bad lines aside, fit a tokenizer and write training data."),
    "train": (_train, "Train a model on the run directory's training data."),
    "generate": (_generate, "Generate validated records from the model in --output. Needs nothing but that directory."),
    "plan": (_plan, "Show what would run, with every default resolved, and run nothing."),
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
    quick: Annotated[bool, typer.Option("--quick", help="Leave the smoke run out.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")] = False,
) -> int:
    """Check this machine: versions, extras, CPUs, memory, GPU, and a smoke run of a few seconds."""
    from linesmith.cli.commands.doctor import show_checks

    return show_checks(console.results(), smoke=not quick)


@app.command("export")
def _export_command(
    run: Annotated[str, typer.Argument(help="The run directory.", metavar="RUN")],
    target: Annotated[str, typer.Argument(help="The archive to write: a path or a bucket address.", metavar="TARGET")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an archive that stands there.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")] = False,
) -> int:
    """Pack the model in RUN into one file for generate --model: no training data, rejects or statistics are in it."""
    return _export(run, target, overwrite)


@app.command("demo")
def _demo(
    output: Annotated[str, typer.Option("--output", help="The run directory to make.")] = "demo-out",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo there.")] = False,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="Most time to train.")] = 150,
    lines: Annotated[int, typer.Option("--lines", min=20, help="Airports to learn from.")] = 8000,
    num_lines: Annotated[int, typer.Option("--num-lines", min=1, help="Airports to make.")] = 600,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")] = False,
) -> int:
    """Do the whole job on real public data: learn the world's airports, then make up new ones."""
    from linesmith.cli.commands.demo import DemoPlan, run_demo

    plan = DemoPlan(output=output, overwrite=overwrite, seconds=seconds, lines=lines, num_lines=num_lines)
    return run_demo(console.results(), plan, load=load_libraries)


@app.command("evaluate", epilog=_BEAM_HINT, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def _evaluate(
    ctx: typer.Context,
    output: Annotated[str | None, typer.Option("--output", help="Run directory, or where the report goes.")] = None,
    config: Annotated[str | None, typer.Option("--config", help="Settings of the run in a file.")] = None,
    real: Annotated[list[str] | None, typer.Option("--real", help="Files of training records.")] = None,
    holdout: Annotated[list[str] | None, typer.Option("--holdout", help="Real records that were not learnt.")] = None,
    synthetic: Annotated[list[str] | None, typer.Option("--synthetic", help="Files of synthetic records.")] = None,
    field_delimiter: Annotated[str | None, typer.Option("--field-delimiter", help="Text between fields.")] = None,
    quoted: Annotated[bool, typer.Option("--quoted", help="Delimiters inside double quotes do not count.")] = False,
    header: Annotated[bool, typer.Option("--header", help="The first line of every file names the fields.")] = False,
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of text files.")] = "utf-8",
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="FIELD=ROLE: category, number, time or text; others are inferred."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Field to predict; one is chosen where unset.")] = None,
    fail_under_closeness: Annotated[
        float | None, typer.Option("--fail-under-closeness", help="End with 3 below this score, 0 to 1.")
    ] = None,
    fail_under_privacy: Annotated[
        float | None, typer.Option("--fail-under-privacy", help="End with 3 below this score, 0 to 1.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report that is there.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")] = False,
) -> int:
    """Say how close and how safe synthetic records are: of the run in --output, or of any three sets of files."""
    from linesmith.cli.commands.evaluate import EvaluateOptions, run_evaluation

    check_beam_options(ctx.args)
    said = EvaluateOptions(
        output=output,
        config_file=config,
        real=real or (),
        holdout=holdout or (),
        synthetic=synthetic or (),
        field_delimiter=field_delimiter,
        quoted=quoted,
        header=header,
        encoding=encoding,
        roles=role or (),
        target=target,
        fail_under_closeness=fail_under_closeness,
        fail_under_privacy=fail_under_privacy,
        overwrite=overwrite,
        beam_args=tuple(ctx.args),
    )
    given = Given(
        "files" if said.real or said.holdout or said.synthetic else "evaluate", {}, config, False, tuple(ctx.args)
    )
    with at_hand(dataclasses.replace(given, settings={} if output is None else {"checkpoint_dir": output})) as (
        at,
        here,
    ):
        place = at.settings.get("checkpoint_dir")
        local = dataclasses.replace(said, output=place, config_file=at.config_file)
        return run_evaluation(local, load_libraries, here.then(_show))


app.command("audit")(build_audit_command(load_libraries, _show))


@app.command("compare")
def _compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A directory with a report.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Another one.")],
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")] = False,
) -> int:
    """Put the reports of two runs side by side."""
    from linesmith.cli.commands.compare import show_comparison
    from linesmith.cli.local_copies import local_output

    with local_output(run_a, "compare") as (one, _), local_output(run_b, "compare") as (other, _):
        return show_comparison(console.results(), (run_a, str(one)), (run_b, str(other)))


def _version(wanted: bool) -> None:
    if wanted:
        console.results().print(f"linesmith {metadata.version('linesmith')}")
        raise typer.Exit


@app.callback()
def _front(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run_command_line(args: Sequence[str]) -> int:
    """Run one command and return its exit code; every error becomes one paragraph on standard error."""
    debug = "--debug" in args
    console.set_up_logging(debug)
    try:
        result = typer.main.get_command(app).main(list(args), prog_name="linesmith", standalone_mode=False)
        if result == EXIT_INTERRUPTED:  # what typer makes of KeyboardInterrupt
            console.error("interrupted; run the same command again to go on where it stopped.")
        return result if isinstance(result, int) else EXIT_SUCCESS
    except SystemExit as leaving:  # a reader that went away, as in `linesmith plan | head`
        return leaving.code if isinstance(leaving.code, int) else EXIT_INTERNAL_ERROR
    except Exception as failure:
        if debug:
            console.messages().print_exception()
        message, code = explain(failure)
        console.error(message)
        return code


def main() -> None:
    """Entry point of the `linesmith` command."""
    sys.exit(run_command_line(sys.argv[1:]))
