"""Write pages of docs/ from the code.

`python -m linesmith.cli.reference` prints docs/configuration.md, `python -m linesmith.cli.reference errors` docs/errors.md, and
`python -m linesmith.cli.reference commands` docs/cli.md.
"""

from __future__ import annotations

import sys
from typing import Any

from linesmith.cli.app import SUMMARIES, defined_command
from linesmith.cli.options import (
    PANELS,
    default_text,
    flag_fields,
    flags_of,
    is_bool,
    is_list,
    panel_of,
    value_placeholder,
)
from linesmith.core.error_codes import ERROR_CODES

_HEAD = """# Configuration

Every setting has one name, which is that of its flag, its key in a `--config` file (YAML or JSON) and its keyword of
`TensorFlowConfig`. Flags override the file. 0 is a value like any other. This page is generated from the code by
`python -m linesmith.cli.reference`.

"""
_FOOT = """
Command line only: `--unset SETTING`, of `generate` and `plan`, forgets a setting of generation that the run directory stores;
`--openlineage URL|FILE`, of `run`, `tokenize`, `train`, `generate` and `evaluate`, sends lineage events
([Schedulers](howto/schedulers.md#lineage)).

Python only: `epoch_callback`, called with an `EpochState` after each epoch.
"""
_ERRORS_HEAD = """# Exit codes and error codes

| exit code | meaning |
|---|---|
| 0 | success; also when patience, the time limit or the epoch limit ended training |
| 1 | an error in Linesmith itself; run again with `--debug` and report the traceback |
| 2 | a problem with a setting, the input, the run directory or the installation; the message says what to do |
| 3 | a quality gate was not met: `evaluate --fail-under-closeness` or `--fail-under-privacy`; or an `audit` refuted the claim |
| 4 | fewer valid records than requested; those that were generated are written and marked as partial |
| 130 | interrupted by Ctrl-C; run the same command again to continue |

Every error is one paragraph on standard error that names the option, its value, what was found and the remedy. No message
quotes a record. The codes are stable; in Python they are the attribute `code` of the error. LS1xx codes are about settings, LS2xx
about data and artifacts, LS3xx about privacy, LS4xx about runners, LS5xx about runs that ended early. This page is generated from
the code by `python -m linesmith.cli.reference errors`.

| code | what is wrong |
|---|---|
"""
_COMMANDS_HEAD = """# Command line

```text
linesmith COMMAND [OPTIONS]
linesmith COMMAND --help
linesmith --version
```

The result goes to standard output, progress and notes go to standard error. [errors.md](errors.md) lists the exit codes.
This page is generated from the code by `python -m linesmith.cli.reference commands`.

| command | what it does |
|---|---|
"""
_TAKES_SETTINGS = (
    "Every setting of [configuration.md](configuration.md) is an option. Options of Apache Beam are passed on, for example "
    "`--runner`; an option that neither knows is an error.\n"
)


def configuration_markdown() -> str:
    """Return docs/configuration.md: one table per panel with name, flag, value, default and meaning of each setting."""
    rows: dict[str, list[str]] = {}
    for name, info in flag_fields().items():
        flag = flags_of(name)[0] + ("`, `--no-" + name.replace("_", "-") if is_bool(info) else "")
        value = value_placeholder(info).replace("|", " or ") + (", repeatable" if is_list(info) else "")
        cells = (f"`{name}`", f"`{flag}`", value, default_text(info) or "–", info.description or "")
        row = " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
        rows.setdefault(panel_of(name, info), []).append(f"| {row} |")
    text = _HEAD
    for panel in PANELS.values():
        table = ["| setting | flag | value | default | meaning |", "|---|---|---|---|---|", *rows[panel]]
        text += f"## {panel}\n\n" + "\n".join(table) + "\n\n"
    return text.rstrip("\n") + "\n" + _FOOT


def errors_markdown() -> str:
    """Return docs/errors.md: the exit codes, and one table row per LS code."""
    rows = [f"| {code} | {meaning} |\n" for code, meaning in ERROR_CODES.items()]
    return _ERRORS_HEAD + "".join(rows)


def commands_markdown() -> str:
    """Return docs/cli.md: each command with its usage and those of its options that are no settings."""
    commands = {name: defined_command(name) for name in SUMMARIES}
    rows = [f"| [`{name}`](#{name}) | {_cell(command.help)} |\n" for name, command in commands.items()]
    return _COMMANDS_HEAD + "".join(rows) + "".join(_command_section(name, one) for name, one in commands.items())


def _command_section(name: str, command: Any) -> str:
    settings = {flag for setting in flag_fields() for flag in flags_of(setting)}
    takes_settings = any(parameter.name == "config_file" for parameter in command.params)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and not (takes_settings and settings & set(parameter.opts))
    ]
    usage = " ".join(["linesmith", name, *(argument.metavar for argument in arguments), "[OPTIONS]"])
    text = f"\n## {name}\n\n```text\n{usage}\n```\n\n{' '.join(command.help.split())}\n\n"
    if takes_settings:
        text += _TAKES_SETTINGS + "\n"
    rows = [f"| `{argument.metavar}` | {_cell(argument.help)} |\n" for argument in arguments]
    rows += [f"| {_spellings(option)} | {_cell(option.help)}{_default(option)} |\n" for option in options]
    return text + "| option | meaning |\n|---|---|\n" + "".join(rows)


def _spellings(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names}, repeatable" if option.multiple else names


def _default(option: Any) -> str:
    return "" if option.default is None or isinstance(option.default, bool) else f" Default: {option.default}."


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


_PAGES = {"configuration": configuration_markdown, "errors": errors_markdown, "commands": commands_markdown}

if __name__ == "__main__":
    sys.stdout.write(_PAGES[(sys.argv[1:] or ["configuration"])[0]]())
