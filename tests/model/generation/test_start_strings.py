"""Start strings: reading, checks and encoding; messages contain a number and a code point, never the text."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from linesmith.core.errors import ParameterError
from linesmith.model.generation.requests import start_string_files
from linesmith.model.generation.requests.start_string_encoding import encode_start_strings, read_start_strings
from linesmith.model.tokenizers import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat

POINTS = [ord(character) for character in 'abc ",;']


def tokenizer(delimiter: str | None = ", ", quoted: bool = False) -> CharTokenizer:
    return CharTokenizer(POINTS, TokenFormat(delimiter, quoted))


def test_ids_equal_those_of_the_tokenizer() -> None:
    known = tokenizer()
    encoded = encode_start_strings(["a, ", "", "a, b, "], known, "--x")
    assert [start.text for start in encoded] == ["a, ", "", "a, b, "]
    assert [list(start.ids) for start in encoded] == [known.encode_to_ids("a, "), [], known.encode_to_ids("a, b, ")]


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        ("abcab", tokenizer(), "start string 2 does not end with the field delimiter ', '"),
        ("abcab,", tokenizer(), "start string 2 does not end"),
        ('"abcab,', tokenizer(",", quoted=True), "start string 2 does not end"),
        ("abcab, z, ", tokenizer(), r"start string 2 cannot be encoded: .*U\+007A"),
        ("abcabz", tokenizer(None), r"start string 2 cannot be encoded: .*U\+007A"),
        ("abcab, \n, ", tokenizer(), "start string 2 contains a line end"),
        ("abcab, b, c, ", tokenizer(), "start string 2 begins field 4, but the model's records have 3 fields"),
    ],
)
def test_the_error_for_a_bad_start_string_does_not_contain_it(text: str, known: CharTokenizer, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        encode_start_strings(["", text], known, "--start-string (start_string)", field_count=3)
    assert "abcab" not in str(caught.value)
    assert str(caught.value).startswith("LS108: --start-string (start_string): ")
    assert "\n" not in str(caught.value)


def test_free_text_may_begin_anywhere() -> None:
    assert encode_start_strings(["ab"], tokenizer(None), "--x")[0].text == "ab"


def test_a_file_keeps_the_space_that_belongs_to_the_delimiter(tmp_path: Path) -> None:
    file = tmp_path / "seeds"
    file.write_bytes("\ufeffa, \r\n\nb\u2028c\rd, ".encode())
    assert read_start_strings(file) == ["a, ", "", "b\u2028c\rd, "]


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "the file is empty"), (b"\xff", "not UTF-8"), (None, "no such file")]
)
def test_the_error_for_a_bad_file_names_it(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "seeds"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ParameterError, match=message) as caught:
        read_start_strings(file)
    assert f"--start-strings-file (start_strings_file) '{file}'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.jsonl", b"[" * 100_000, "line 1 is no JSON"),
        ("x.jsonl", b'{"a": ' * 100 + b"1" + b"}" * 100, "line 1 is no JSON"),
        ("x.txt.gz", gzip.compress(b"a\n" + b"b" * 200, mtime=0), "line 2 has more than 100 characters"),
        ("x.csv", b"a\n" + b"b" * 200, "line 2 has more than 100 characters"),
        ("x.gz", gzip.compress(b"abc", mtime=0)[:10] + b"\xff" * 9, "cut off or of another kind"),
    ],
)
def test_a_hostile_file_is_refused(
    name: str, content: bytes, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "100 characters" in found:
        monkeypatch.setattr(start_string_files, "_MAX_LINE_CHARS", 100)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ParameterError, match=rf"LS108: --start-strings-file .*{found}"):
        read_start_strings(tmp_path / name)
