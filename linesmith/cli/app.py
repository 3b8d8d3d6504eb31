"""Run the command line. Help and version load little; a command's options are defined when it is invoked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from importlib.resources import files
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from linesmith.cli import console
from linesmith.core.errors import EXIT_INTERNAL_ERROR, EXIT_INTERRUPTED, EXIT_SUCCESS

# Each command and what it does, in the order of the help.
SUMMARIES = {
    "run": "Tokenize, train, generate and evaluate. Resumes an interrupted run that has the same settings.",
    "tokenize": "Read the input, reject invalid lines, fit a tokenizer and write training data.",
    "train": "Train a model on the run directory's training data.",
    "generate": "Generate validated records from the model in --output. Needs only that directory.",
    "plan": "Show what would run, with every default resolved, without running it.",
    "doctor": "Check this machine: versions, extras, CPUs, memory, GPU, and a smoke run of a few seconds.",
    "export": "Pack the model in RUN into one file for generate --model, without training data, rejects or statistics.",
    "import-gretel": "Make a run directory of a model that gretel-synthetics trained, for generate --output. Nothing in "
    "MODEL_DIR is run.",
    "demo": "Run every stage on real public data: learn from the world's airports, then generate new ones.",
    "evaluate": "Measure how close to the real records and how private synthetic ones are: of the run in --output, or of files.",
    "audit": "Train with canaries as the run was trained, and compare the epsilon they prove with the claimed one.",
    "compare": "Show the reports of two runs side by side.",
}


class CommandGroup(TyperGroup):
    """Group whose help knows the commands' summaries only; the command that is invoked is defined then."""

    def __init__(self, **attributes: Any) -> None:
        stubs = {name: TyperCommand(name, help=summary) for name, summary in SUMMARIES.items()}
        super().__init__(**{**attributes, "commands": stubs})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name of the command that is invoked, the command, and the arguments after its name."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else defined_command(name), rest


def defined_command(name: str) -> Any:
    """Return a command with its options, as an object of click.

    Args:
        name: one of `SUMMARIES`.
    """
    from linesmith.cli.commands.definitions import define_command

    return define_command(name, SUMMARIES[name])


def _show_version(requested: bool) -> None:
    if requested:
        commit = files("linesmith").joinpath("_commit.txt")  # written when the package was built
        built_from = f" (built from {commit.read_text('utf-8').strip()})" if commit.is_file() else ""
        console.results().print(f"linesmith {metadata.version('linesmith')}{built_from}", highlight=False)
        raise typer.Exit


app = typer.Typer(
    name="linesmith",
    cls=CommandGroup,
    help="Learn from line-delimited text and write synthetic records that keep its structure and statistics.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    with _spelling_of(args):
        return _run_parsed(args, debug)


def _spelling_of(args: Sequence[str]) -> AbstractContextManager[None]:
    """Return the context in which messages name settings as a command line does; help and version name none."""
    if not set(args) & set(SUMMARIES):
        return nullcontext()
    from linesmith.cli.options import typed_flags
    from linesmith.core.config.spelling import settings_typed_as

    return settings_typed_as(typed_flags(args))


def _run_parsed(args: Sequence[str], debug: bool) -> int:
    try:
        result = typer.main.get_command(app).main(list(args), prog_name="linesmith", standalone_mode=False)
        if result == EXIT_INTERRUPTED:  # typer turns KeyboardInterrupt into it
            console.error("interrupted; run the same command again to go on where it stopped.")
        return result if isinstance(result, int) else EXIT_SUCCESS
    except SystemExit as exit_request:  # the reader of standard output is gone, as in `linesmith plan | head`
        return exit_request.code if isinstance(exit_request.code, int) else EXIT_INTERNAL_ERROR
    except Exception as error:
        from linesmith.cli.errors import explain

        if debug:
            console.print_traceback()
        message, code = explain(error)
        console.error(message)
        return code


def main() -> None:
    """Run the `linesmith` command: its entry point."""
    sys.exit(run_command_line(sys.argv[1:]))
