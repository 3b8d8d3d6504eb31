"""Which first lines are headers: by switch, by manifest, by what other sets are called, by the values below; and when not."""

from __future__ import annotations

import pytest

from linesmith.pipelines.evaluate.headers import FirstLines, TextSet, decide_headers

NUMBERS = [("red", str(n)) for n in range(20)]
WORDS = [("red", "cat"), ("blue", "dog")] * 10


def one(name: str, first: tuple[str, ...] | None, rows=WORDS, **more) -> FirstLines:
    return FirstLines(name, first, rows, **more)


def decided(*sets: TextSet, known=()) -> list[list[bool]]:
    found, _ = decide_headers(sets, known)
    return [list(headers.values()) for headers in found]


@pytest.mark.parametrize(
    ("first", "rows", "header"),
    [
        (("color", "count"), NUMBERS, True),
        (("color", "count"), NUMBERS[:4], False),
        (("color", "count"), WORDS, False),
        (("red", "7"), NUMBERS, False),
        (("red", "n/a"), NUMBERS, False),
        (("red", ""), NUMBERS, False),
        (("same", "same"), NUMBERS, False),
        (("a", "b", "c"), NUMBERS, False),
        (("color", "day"), [("red", f"2024-01-{n:02}") for n in range(1, 20)], True),
        (("color", "count"), [*NUMBERS, ("red", "many")], False),
        (("color", "count"), [*NUMBERS, ("one", "too", "many")], True),
        (("color", "count"), [("red", '"1.5"')] * 9 + [("red", "")], True),
        (None, NUMBERS, False),
    ],
)
def test_a_line_above_numbers_is_a_header_if_it_holds_none(first, rows, header):
    assert decided(TextSet("real", [one("a", first, rows)])) == [[header]]


def test_the_names_of_another_set_make_a_header():
    names = ("color", "pet")
    real, synthetic = TextSet("real", [one("a", names)]), TextSet("synthetic", [one("b", ("red", "cat"))])
    assert decided(real, synthetic) == [[False], [False]]
    assert decided(real, synthetic, known=[names]) == [[True], [False]]
    generated = TextSet("synthetic", [one("b", ("red", "cat"), columns=names, header=False)])
    assert decided(real, generated) == [[True], [False]]
    given = TextSet("holdout", [one("c", names)], given=True, for_this_set=True)
    assert decided(real, given, synthetic) == [[True], [True], [False]]


def test_a_line_that_begins_two_sets_and_no_record_is_a_header():
    names = ("color", "pet")
    assert decided(TextSet("real", [one("a", names)]), TextSet("holdout", [one("b", names)])) == [[True], [True]]
    repeated = [*WORDS, names]
    assert decided(TextSet("real", [one("a", names, repeated)]), TextSet("holdout", [one("b", names)])) == [[False]] * 2
    assert decided(TextSet("real", [one("a", names), one("c", names)])) == [[False, False]], (
        "shards of one set may agree"
    )


def test_only_the_first_of_several_files_may_have_one():
    files = [one("a", ("color", "count"), NUMBERS), one("b", ("red", "4"), NUMBERS)]
    assert decided(TextSet("real", files)) == [[True, False]]


def test_a_switch_of_the_set_decides_then_the_manifest_then_the_switch_of_all():
    file = one("a", ("color", "count"), NUMBERS)
    generated = one("a", ("color", "count"), NUMBERS, columns=("color", "count"), header=False)
    assert decided(TextSet("real", [file], given=False)) == [[False]]
    assert decided(TextSet("real", [generated], given=True)) == [[False]]
    assert decided(TextSet("real", [generated], given=True, for_this_set=True)) == [[True]]
    assert decided(TextSet("real", [one("a", ("red", "1"), NUMBERS)], given=True)) == [[True]]


def test_notes_name_the_switch_and_no_text_of_a_record():
    _, notes = decide_headers([TextSet("real", [one("a", ("color", "count"), NUMBERS)])], ())
    assert notes == ["--real: the first line is taken as a header; --no-real-header takes it as a record"]
    sets = [
        TextSet("real", [one("a", ("color", "count"))], given=True),
        TextSet("synthetic", [one("b", ("red", "cat"))], given=True),
    ]
    _, notes = decide_headers(sets, ())
    assert [note.partition(":")[0] for note in notes] == ["--real", "--synthetic"]
    assert not any(word in note for note in notes for word in ("color", "red", "cat"))
