"""Every setting as a flag: names, help and kinds come from the fields of `TensorFlowConfig`, and from nowhere else."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from linesmith.core.config.privacy import PrivacySettings
from linesmith.core.config.setting_field import dp_default
from linesmith.core.config.tensorflow_config import SETTINGS_WITHOUT_EFFECT, Stage, fields, stage_of

PANELS: dict[str, str] = {
    "run": "Input and run directory",
    "tokenize": "Tokenize",
    "train": "Train",
    "privacy": "Differential privacy",
    "generate": "Generate",
    "moot": "Accepted, without effect",
}
# Established short names, first in the help; the name of the setting works as well.
SHORT_NAMES = {
    "input_data_path": "--input",
    "checkpoint_dir": "--output",
    "gen_lines": "--num-lines",
    "model_archive": "--model",
}
# Which panels a command shows first: its own stage's.
_FIRST: dict[str, tuple[str, ...]] = {
    "tokenize": ("run", "tokenize"),
    "train": ("run", "train", "privacy"),
    "generate": ("run", "generate"),
    "run": ("run",),
}


@dataclass(frozen=True)
class Given:
    """What a command line said: only what was said, nothing by default.

    Attributes:
        command: the command's name.
        settings: settings by field name, text not yet parsed but for booleans.
        config_file: `--config`.
        debug: `--debug`.
        beam_args: what is not ours, in order.
    """

    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    config_file: str | None = None
    debug: bool = False
    beam_args: tuple[str, ...] = ()


def flag_fields() -> dict[str, FieldInfo]:
    """The settings that can be written on a command line."""
    return {name: info for name, info in fields().items() if not info.exclude}


def flags_of(name: str) -> list[str]:
    """All spellings of a setting's flag, the short one first."""
    plain = "--" + name.replace("_", "-")
    return [SHORT_NAMES[name], plain] if name in SHORT_NAMES else [plain]


def linesmith_flags() -> list[str]:
    """Every flag that is ours, the general ones included."""
    negative = ["--no-" + name.replace("_", "-") for name, info in flag_fields().items() if is_bool(info)]
    return [*(flag for name in flag_fields() for flag in flags_of(name)), *negative, "--config", "--debug", "--help"]


def is_bool(info: FieldInfo) -> bool:
    return info.annotation is bool


def is_list(info: FieldInfo) -> bool:
    return any(get_origin(part) is list for part in _parts(info.annotation))


def value_placeholder(info: FieldInfo) -> str:
    """What a value looks like, for help and reference: TEXT, INTEGER, NUMBER or the choices."""
    names = []
    for part in _parts(info.annotation):
        inner = get_args(part)[0] if get_origin(part) is list else part
        if get_origin(inner) is Literal:
            names.append("|".join(map(str, get_args(inner))))
        elif inner is not type(None):
            names.append({int: "INTEGER", float: "NUMBER", bool: "YES/NO"}.get(inner, "TEXT"))
    return names[0]


def default_text(info: FieldInfo) -> str:
    """The default in words a person reads; empty where there is none."""
    text = _shown(info.default)
    private = dp_default(info)
    return text if private is None else f"{text}; with dp {_shown(private)}"


def _shown(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(default) if isinstance(default, list) else str(default)


def panel_of(name: str, info: FieldInfo) -> str:
    """The heading under which help and reference show a setting."""
    return PANELS[_panel_key(name, info)]


def _panel_key(name: str, info: FieldInfo) -> str:
    return (
        "moot"
        if name in SETTINGS_WITHOUT_EFFECT
        else "privacy"
        if name in PrivacySettings.model_fields
        else stage_of(info)
    )


def command(name: Stage | Literal["plan"], action: Callable[[Given], int], doc: str) -> Callable[..., int]:
    """A function that typer can read: one keyword a setting, in the order in which help should show the panels."""

    def run_command(ctx: typer.Context, **values: Any) -> int:
        config_file, debug = values.pop("config_file"), values.pop("debug")
        settings = {key: value for key, value in values.items() if value is not None and value != []}
        return action(Given(name, settings, config_file, debug, tuple(ctx.args)))

    general = {
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
    annotations = {key: _annotation(key, info) for key, info in _ordered(name)} | general
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(key, keyword, annotation=kind, default=False if key == "debug" else None)
        for key, kind in annotations.items()
    ]
    run_command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run_command.__annotations__ = {"ctx": typer.Context, **annotations}
    run_command.__doc__ = doc
    return run_command


def _ordered(command_name: str) -> list[tuple[str, FieldInfo]]:
    first = _FIRST.get(command_name, ("run",))

    def rank(item: tuple[str, FieldInfo]) -> tuple[int, int]:
        panel = _panel_key(*item)
        return (first.index(panel) if panel in first else len(first), list(PANELS).index(panel))

    return sorted(flag_fields().items(), key=rank)


def _annotation(name: str, info: FieldInfo) -> Any:
    shown = default_text(info)
    text = escape((info.description or "") + (f" Default: {shown}." if shown else ""))
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


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
