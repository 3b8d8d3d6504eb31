"""Make a command-line flag of every setting: names, help texts and types come from the fields of `TensorFlowConfig`."""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from linesmith.core.config.privacy import PrivacySettings
from linesmith.core.config.setting_field import SHORT_FLAGS, default_of, dp_default, flag_name
from linesmith.core.config.tensorflow_config import SETTINGS_WITHOUT_EFFECT, Stage, fields, stage_of

PANELS: dict[str, str] = {
    "run": "Input and run directory",
    "tokenize": "Tokenize",
    "train": "Train",
    "privacy": "Differential privacy",
    "generate": "Generate",
    "moot": "Accepted, without effect",
}
# Panels that the help of a command shows first: those of its own stage.
_FIRST_PANELS: dict[str, tuple[str, ...]] = {
    "tokenize": ("run", "tokenize"),
    "train": ("run", "train", "privacy"),
    "generate": ("run", "generate"),
    "run": ("run",),
}


UnsetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--unset",
        help="Forget a setting of generation that the run directory stores, for example --unset rules.",
        metavar="SETTING",
        rich_help_panel=PANELS["generate"],
    ),
]
LineageOption = Annotated[
    str | None,
    typer.Option(
        "--openlineage",
        help="Send OpenLineage events (start, complete, fail) to this http(s) address, or append them to this file. Default: "
        "where OPENLINEAGE_URL or OPENLINEAGE_CONFIG says. Needs linesmith[lineage].",
        metavar="URL|FILE",
        rich_help_panel=PANELS["run"],
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")]


@dataclass(frozen=True)
class CommandLine:
    """Parsed command line. It holds only the options that were given; defaults are applied later.

    Attributes:
        command: name of the command.
        settings: settings by field name; values are text, lists of text, or booleans.
        config_file: value of `--config`.
        debug: whether `--debug` was given.
        beam_args: arguments that are not flags of Linesmith, in order.
        unset: settings of the run directory that are to be forgotten, as typed.
        openlineage: value of `--openlineage`. It is no setting: nothing stores it.
    """

    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    config_file: str | None = None
    debug: bool = False
    beam_args: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    openlineage: str | None = None


def flag_fields() -> dict[str, FieldInfo]:
    """Return the settings that have a flag, by name."""
    return {name: info for name, info in fields().items() if not info.exclude}


def flags_of(name: str) -> list[str]:
    """Return all spellings of a setting's flag, the short one first."""
    plain = "--" + name.replace("_", "-")
    return [flag_name(name), plain] if name in SHORT_FLAGS else [plain]


def typed_flags(args: Sequence[str]) -> dict[str, str]:
    """Return the flags of settings on a command line, as typed, by setting.

    Args:
        args: the words of the command line.

    Example:
        >>> typed_flags(["plan", "--gen-lines=5", "--input", "x"])
        {'gen_lines': '--gen-lines', 'input_data_path': '--input'}
    """
    known = {flag: name for name in flag_fields() for flag in (*flags_of(name), "--no-" + name.replace("_", "-"))}
    typed = (word.partition("=")[0] for word in args if word.startswith("--"))
    return {known[flag.replace("_", "-")]: flag for flag in typed if flag.replace("_", "-") in known}


def linesmith_flags() -> list[str]:
    """Return every flag of Linesmith, including `--config`, `--unset`, `--openlineage`, `--debug` and `--help`."""
    negative = ["--no-" + name.replace("_", "-") for name, info in flag_fields().items() if is_bool(info)]
    return [
        *(flag for name in flag_fields() for flag in flags_of(name)),
        *negative,
        "--config",
        "--unset",
        "--openlineage",
        "--debug",
        "--help",
    ]


def is_bool(info: FieldInfo) -> bool:
    """Return whether a setting is a boolean, whose flag takes no value."""
    return set(_union_members(info.annotation)) <= {bool, type(None)}


def is_list(info: FieldInfo) -> bool:
    """Return whether a setting can be a list, whose flag can be repeated."""
    return any(get_origin(member) is list for member in _union_members(info.annotation))


def value_placeholder(info: FieldInfo) -> str:
    """Return the placeholder of a value in help and reference: TEXT, INTEGER, NUMBER, YES/NO or the choices."""
    names = []
    for part in _union_members(info.annotation):
        inner = get_args(part)[0] if get_origin(part) is list else part
        if get_origin(inner) is Literal:
            names.append("|".join(map(str, get_args(inner))))
        elif inner is not type(None):
            names.append({int: "INTEGER", float: "NUMBER", bool: "YES/NO"}.get(inner, "TEXT"))
    return names[0]


def default_text(info: FieldInfo) -> str:
    """Return the default as text, with the other default under differential privacy if there is one; empty if none."""
    text = _value_text(default_of(info))
    private = dp_default(info)
    return text if private is None else f"{text}; with dp {_value_text(private)}"


def _value_text(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(default) if isinstance(default, list) else str(default)


def panel_of(name: str, info: FieldInfo) -> str:
    """Return the heading under which help and reference show a setting."""
    return PANELS[_panel_key(name, info)]


def _panel_key(name: str, info: FieldInfo) -> str:
    if name in SETTINGS_WITHOUT_EFFECT:
        return "moot"
    return "privacy" if name in PrivacySettings.model_fields else stage_of(info)


def command(name: Stage | Literal["plan"], action: Callable[[CommandLine], int], doc: str) -> Callable[..., int]:
    """Return a function that typer can make a command of.

    Its signature has one keyword per setting, in the order in which help shows the panels.

    Args:
        name: name of the command.
        action: function that runs the parsed command and returns the exit code.
        doc: help text of the command.
    """

    def run_command(ctx: typer.Context, **values: Any) -> int:
        config_file, debug, unset = values.pop("config_file"), values.pop("debug"), values.pop("unset", None)
        openlineage = values.pop("openlineage", None)
        config_file = None if config_file is None else os.path.expanduser(config_file)
        settings = {key: value for key, value in values.items() if value is not None and value != []}
        beam_args = tuple(ctx.args)
        return action(CommandLine(name, settings, config_file, debug, beam_args, tuple(unset or ()), openlineage))

    general: dict[str, Any] = {
        "config_file": Annotated[
            str | None,
            typer.Option(
                "--config",
                help="Settings in a YAML or JSON file; flags override it.",
                metavar="FILE",
                rich_help_panel=PANELS["run"],
            ),
        ],
        "debug": Annotated[
            bool,
            typer.Option(
                "--debug",
                help="Show tracebacks and the libraries' logs. They may contain records.",
                rich_help_panel=PANELS["run"],
            ),
        ],
    }
    if name in ("generate", "plan"):
        general["unset"] = UnsetOption
    if name != "plan":
        general["openlineage"] = LineageOption
    annotations = {key: _annotation(key, info) for key, info in _ordered(name)} | general
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(key, keyword, annotation=annotation, default=False if key == "debug" else None)
        for key, annotation in annotations.items()
    ]
    # Typer reads the signature; the function itself takes any keyword.
    run_command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run_command.__annotations__ = {"ctx": typer.Context, **annotations}
    run_command.__doc__ = doc
    return run_command


def _ordered(command_name: str) -> list[tuple[str, FieldInfo]]:
    first = _FIRST_PANELS.get(command_name, ("run",))

    def rank(item: tuple[str, FieldInfo]) -> tuple[int, int]:
        panel = _panel_key(*item)
        return (first.index(panel) if panel in first else len(first), list(PANELS).index(panel))

    return sorted(flag_fields().items(), key=rank)


def _annotation(name: str, info: FieldInfo) -> Any:
    default = default_text(info)
    text = escape((info.description or "") + (f" Default: {default}." if default else ""))
    panel = panel_of(name, info)
    if is_bool(info):
        plain = "--" + name.replace("_", "-")
        option = typer.Option(
            f"{plain}/--no-{plain.removeprefix('--')}", help=text, show_default=False, rich_help_panel=panel
        )
        return Annotated[bool | None, option]
    option = typer.Option(
        *flags_of(name), help=text, metavar=value_placeholder(info), show_default=False, rich_help_panel=panel
    )
    return Annotated[list[str] | None if is_list(info) else str | None, option]


def _union_members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
