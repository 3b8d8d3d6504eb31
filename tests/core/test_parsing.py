"""JSON and YAML within limits: what is read, and small texts that would exhaust memory, time or the stack."""

from __future__ import annotations

import pytest

from linesmith.core import parsing
from linesmith.core.parsing import DocumentError, parse_json, parse_yaml, read_text


def bomb(value: str, wrap: str) -> str:
    """Return a chain of aliases, each for nine of the one before it."""
    lines = [f"a: &a {value}"]
    lines += [f"{new}: &{new} {wrap.format(','.join([f'*{old}'] * 9))}" for old, new in zip("abcdef", "bcdefg")]
    return "\n".join(lines)


def test_documents_are_read() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "x"]}') == {"a": [1, 2.5, None, "x"]}
    assert parse_json("[" * 64 + "]" * 64)
    assert parse_json('"' + "[" * 100 + '"') == "[" * 100
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 3}}") == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}
    assert parse_yaml("") is None
    assert parse_yaml("a: {b: 1}\nc: {b: 2}\n1: x\n'1': y") == {"a": {"b": 1}, "c": {"b": 2}, 1: "x", "1": "y"}
    assert parse_yaml("c: {<<: {d: 3}, <<: {e: 4}}") == {"c": {"d": 3, "e": 4}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[" * 100_000, "nested more than 64 deep"),
        ("[" * 66 + "]" * 66, "nested more than 64 deep"),
        ('{"a":' * 80 + "1" + "}" * 80, "nested more than 64 deep"),
        ("1" * 5000, "not valid JSON"),
        ("{\n", "not valid JSON at line 2"),
        (b"\xff", "not valid JSON"),
        ("[" + "[]," * 3_000_000 + "[]]", "more values than are allowed"),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_json_that_is_none_or_exceeds_a_limit_is_refused(text: str | bytes, found: str) -> None:
    with pytest.raises(DocumentError, match=found):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (bomb("[x]", "[{}]"), "aliases stand for more than 100,000 values at line 6"),
        (bomb("{x: 1}", "{{<<: [{}]}}"), "aliases stand for more than 100,000 values"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 900, "nested more than 64 deep"),
        ("[" * 100_000, "nested more than 64 deep|not valid YAML"),  # newer parsers have a limit of their own
        ("- " * 20_000, "nested more than 64 deep"),
        ("[a, " * 20_000, "nested more than 64 deep"),
        ("a: 0x" + "f" * 5000, "a number is too long"),
        ("a: " + "1:" * 20_000 + "1", "a number is too long"),
        ("2001-99-99", "not of its type"),
        ("!!int ''", "not of its type"),
        ("!!timestamp x", "not of its type"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML at line 1"),
        ("a: 1\nb: [", "not valid YAML at line 3"),
        ("\ud800", "not of its type"),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_yaml_that_is_none_or_exceeds_a_limit_is_refused(text: str, found: str) -> None:
    with pytest.raises(DocumentError, match=found):
        parse_yaml(text)


def test_a_text_that_is_too_long_is_not_parsed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_YAML_CHARS", 10)
    monkeypatch.setattr(parsing, "MAX_YAML_NODES", 2)
    monkeypatch.setattr(parsing, "MAX_TEXT_BYTES", 10)
    with pytest.raises(DocumentError, match="longer than 10 characters"):
        parse_yaml("a" * 11)
    with pytest.raises(DocumentError, match="more than 2 values"):
        parse_yaml("[a,b,c]")
    (tmp_path / "long").write_text("a" * 11)
    with pytest.raises(DocumentError, match="longer than 10 bytes"):
        read_text(tmp_path / "long")


@pytest.mark.parametrize(
    "text", ['"\\ud800"', '{"\\uDFFF": 1}', b'["\xed\xa0\x80"]', '["\ud800"]', '["\\ud83d \\ude00"]']
)
def test_half_of_a_surrogate_pair_is_refused_since_nothing_can_write_it(text: str | bytes) -> None:
    with pytest.raises(DocumentError):
        parse_json(text)
    assert parse_json('["\\ud83d\\ude00", "\\\\ud800"]') == ["\U0001f600", "\\ud800"]
    with pytest.raises(DocumentError):
        parse_yaml('"\\ud800"')
