"""Define the commands of the command line: their options and what they do.

`linesmith.cli.app` says what each does, and imports this module when one is invoked. TensorFlow and Beam are loaded by the stage
that needs them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linesmith.cli import console
from linesmith.cli.commands.audit import build_audit_command
from linesmith.cli.commands.evaluate import build_evaluate_command
from linesmith.cli.libraries import check_beam_options, load_beam, load_libraries
from linesmith.cli.lineage import with_lineage
from linesmith.cli.local_copies import with_fetched_files, with_local_run_directory
from linesmith.cli.options import CommandLine, DebugOption, command
from linesmith.cli.results import show_results
from linesmith.cli.settings import resolve
from linesmith.cli.summary import show_report
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import EXIT_SUCCESS, ParameterError
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

    return show(generate(config, beam_args))


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
    place = () if mirror is None else (mirror.address,)
    words = [*config.as_dict().values(), *command_line.beam_args, *place]
    check_beam_options(command_line.beam_args, words if command_line.command == "generate" else None)
    if command_line.command in ("run", "tokenize") and not input_files(config):
        raise ParameterError("LS205", "--input (input_data_path)", "not set", "Give a file of lines.")
    output = {"run": run.synthetic, "train": run.model, "generate": run.synthetic}.get(command_line.command)
    if output is not None:
        check_overwrite_allowed(output, {"train": "model"}.get(command_line.command, "run"), config.overwrite)
    if command_line.command != "generate":
        refuse_other_kind(config)
        load_libraries()
    else:
        load_beam(words)
    return config, command_line.beam_args


_STAGE_CONTEXT = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "token_normalize_func": lambda name: name.replace("_", "-"),
}


def _doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Skip the smoke run.")] = False,
    debug: DebugOption = False,
) -> int:
    from linesmith.cli.commands.doctor import show_checks

    return show_checks(console.results(), smoke=not quick)


def _export_command(
    run: Annotated[str, typer.Argument(help="The run directory.", metavar="RUN")],
    target: Annotated[str, typer.Argument(help="The archive to write: a path or a bucket address.", metavar="TARGET")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing archive.")] = False,
    debug: DebugOption = False,
) -> int:
    from linesmith.pipelines.export import export

    return _show(export(os.path.expanduser(run), os.path.expanduser(target), overwrite))


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
    from linesmith.pipelines.import_gretel.stage import import_gretel

    return _show(import_gretel(os.path.expanduser(model_dir), os.path.expanduser(out)))


def _demo(
    output: Annotated[str, typer.Option("--output", help="The run directory to create.")] = "demo-out",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo there.")] = False,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="Maximum training time in seconds.")] = 115,
    lines: Annotated[int, typer.Option("--lines", min=20, help="Number of airports to learn from.")] = 8000,
    num_lines: Annotated[int, typer.Option("--num-lines", min=1, help="Number of airports to generate.")] = 600,
    debug: DebugOption = False,
) -> int:
    from linesmith.cli.commands.demo import DemoPlan, run_demo

    plan = DemoPlan(
        output=os.path.expanduser(output), overwrite=overwrite, seconds=seconds, lines=lines, num_lines=num_lines
    )
    return run_demo(console.results(), plan, load=load_libraries)


def _compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A directory with a report.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Another directory with a report.")],
    debug: DebugOption = False,
) -> int:
    from linesmith.cli.commands.compare import show_comparison
    from linesmith.cli.local_copies import local_output

    roots = (os.path.expanduser(run_a), os.path.expanduser(run_b))
    with local_output(roots[0], "compare") as root_a, local_output(roots[1], "compare") as root_b:
        return show_comparison(console.results(), (run_a, root_a), (run_b, root_b))


def define_command(name: str, summary: str) -> Any:
    """Return a command, with all its options.

    Args:
        name: its name.
        summary: what it does, in a sentence or two.
    """
    one = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    with_beam: dict[str, Any] = {"epilog": _BEAM_HINT}
    if name in ("run", "tokenize", "train", "generate", "plan"):
        action = _plan if name == "plan" else _run_stages
        one.command(name, help=summary, context_settings=_STAGE_CONTEXT, **with_beam)(command(name, action, summary))  # type: ignore[arg-type]
    elif name == "evaluate":
        context = {"allow_extra_args": True, "ignore_unknown_options": True}
        one.command(name, help=summary, context_settings=context, **with_beam)(build_evaluate_command(load_beam, _show))
    else:
        functions: dict[str, Callable[..., int]] = {
            "doctor": _doctor,
            "export": _export_command,
            "import-gretel": _import_gretel,
            "demo": _demo,
            "audit": build_audit_command(load_libraries, _show),
            "compare": _compare,
        }
        one.command(name, help=summary)(functions[name])
    return typer.main.get_command(one)
