"""Every error of the product has a code of the table, and every code of the table is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from linesmith.core import errors
from linesmith.core.error_codes import ERROR_CODES

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "records", "model", "evaluation", "transforms", "runners", "pipelines", "linesmith", "tools")
CLASSES = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.LinesmithError)
}
# These pass on the code of an error that was raised elsewhere.
FORWARDING = {"core/errors.py"}


def sources() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8"))
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
    }


SOURCES = sources()


def called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def constructions() -> list[tuple[str, ast.Call]]:
    """Every place where an error, or a warning with a code, is built."""
    return [
        (f"{file}:{node.lineno}", node)
        for file, tree in SOURCES.items()
        if file not in FORWARDING
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called_name(node) in {*CLASSES, "coded_message"}
    ]


def test_every_error_is_built_from_a_literal_code_of_the_table():
    built = constructions()
    assert len(built) > 150
    for where, call in built:
        assert len(call.args) == 4 and not call.keywords, where
        code = call.args[0]
        assert isinstance(code, ast.Constant) and code.value in ERROR_CODES, where


def test_every_code_of_the_table_is_used():
    assert {str(call.args[0].value) for _, call in constructions() if isinstance(call.args[0], ast.Constant)} == set(
        ERROR_CODES
    )


def test_every_code_that_is_mentioned_anywhere_is_in_the_table():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.ipynb")]
    files = [*pages, *(ROOT / file for file in SOURCES)]
    mentioned = {code for path in files for code in re.findall(r"\bLS\d{3}\b", path.read_text("utf-8"))}
    assert mentioned <= set(ERROR_CODES)


def test_codes_are_in_order_and_no_two_have_the_same_meaning():
    assert list(ERROR_CODES) == sorted(ERROR_CODES)
    assert len(set(ERROR_CODES.values())) == len(ERROR_CODES)


def test_no_message_bypasses_the_table():
    for file, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.match(r"LS\d{3}: ", node.value), f"{file}:{node.lineno}"


def test_found_has_no_full_stop_and_the_remedy_is_a_sentence():
    for where, call in constructions():
        found, remedy = call.args[2], call.args[3]
        if isinstance(found, ast.Constant):
            assert not found.value.endswith("."), where
        if isinstance(remedy, ast.Constant):
            assert remedy.value.endswith((".", "…")) and remedy.value[0].isupper(), where
