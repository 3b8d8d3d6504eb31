"""Tests of partial records: what is forced, what is refused, what the user is told, and the files they come from."""

import gzip
import json
from datetime import date
from decimal import Decimal

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.core.errors import ParameterError
from linesmith.model.generation.requests.condition_requests import CyclicStartStrings
from linesmith.model.generation.requests.conditions import ConditionEncoder, ConditionSettings, nearest_value
from linesmith.model.generation.requests.partial_records import iter_partial_records
from linesmith.model.generation.requests.start_string_store import (
    read_start_strings_range,
    write_start_strings,
    write_store_counts,
)
from linesmith.model.generation.work_units import StartString
from linesmith.model.sampling.token_automaton import compile_automaton
from linesmith.model.tokenizers import ByteTokenizer, CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.fields import FieldFormat
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.layout import RecordLayout
from linesmith.records.output.schema import ValueLimits
from linesmith.records.patterns.number_ranges import number_automaton
from linesmith.records.validation.record_checks import RecordCheckSpec

COLUMNS = ("id", "town", "country")
CHARACTERS = sorted({ord(c) for c in 'ITFRabeiomnru,"019 '})


def encoder(order=(2, 0, 1), masked=False, tokenizer=None, quoted=True, markers=0, **settings):
    form = TokenFormat(",", quoted, column_pattern="<{}>" if markers else None, markers=markers, field_order=order)
    tokenizer = CharTokenizer(CHARACTERS, form) if tokenizer is None else tokenizer(form)
    automaton = compile_automaton(tokenizer, [None, number_automaton(LIMITS), None]) if masked else None
    allowed = settings.pop("allowed", ("country",))
    return ConditionEncoder(ConditionSettings("--where 'x'", COLUMNS, allowed, **settings), tokenizer, automaton)


LIMITS = {"least": "0", "most": "99", "scale": 0, "empty": False}


def written(found, starts):
    """Return prefixes as text: `<n>` as ;, `<d>` as |, a free field as ?, one to fill as ! with its position."""
    decode = found._tokenizer.decode_from_ids
    return [
        "".join(f"!{-2 - i}" if i < -1 else {-1: "?", 0: ";", 1: "|"}.get(i) or decode([i]) for i in start.ids)
        for start in starts
    ]


@pytest.mark.parametrize(
    ("order", "markers", "given", "prefix"),
    [
        ((2, 0, 1), 0, {"country": "IT"}, "IT|"),
        (None, 0, {"country": "IT"}, "??IT;"),
        ((2, 0, 1), 0, {"id": "1", "town": "Rom"}, "?1|Rom;"),
        ((2, 0, 1), 0, {"town": "a,b", "country": 'R"R'}, '"R""R"|?"a,b";'),
        ((2, 0, 1), 0, {"country": ""}, "|"),
        ((2, 0, 1), 0, {}, ""),
        ((1, 2, 0), 3, {"town": "Rom"}, "Rom|"),
    ],
)
def test_given_fields_are_forced_in_their_places(order, markers, given, prefix):
    found = encoder(order, allowed=COLUMNS, markers=markers)
    start = found.encode(given)
    assert written(found, [start]) == [prefix]
    if markers:
        assert start.ids[0] == 2  # the marker of the field that the model writes first
    assert start.fault is None


def test_fields_to_fill_are_marked_by_their_position_in_the_text():
    found = encoder(fill=True, allowed=COLUMNS)
    assert written(found, [found.encode({"town": "Rom"}), found.encode({"country": "IT"})]) == [
        "!2!0Rom;",
        "IT|!0!1",
    ]


def test_known_values_are_spelled_as_in_the_training_data():
    found = encoder(known={"country": ('"IT"', "FR", '"a,b"')})
    rows = [{"country": value} for value in ("IT", "FR", "a,b", "RR")]
    assert written(found, found.encode_rows(rows)) == ['"IT"|', "FR|", '"a,b"|', "RR|"]
    quoting = encoder(known={"country": ('"IT"',)})
    assert written(quoting, quoting.encode_rows([{"country": "RR"}])) == ['"RR"|']  # as all others are


def test_a_value_never_seen_is_used_or_replaced_and_counted():
    found = encoder(known={"country": ("IT", "FR")})
    rows = [{"country": "IT"}, {"country": "TI"}, {"country": "IÜT"}, {"country": "TI"}]
    assert written(found, found.encode_rows(rows)) == ["IT|", "TI|", "IT|", "TI|"]
    assert (found.counts.unseen, found.counts.replaced) == ({"country": 2}, {"country": 1})
    assert found.nearest["country", "IÜT"] == "IT"


def test_strict_conditions_name_the_record_and_the_column():
    strict = encoder(known={"country": ("IT", "FR")}, strict=True)
    with pytest.raises(ParameterError, match=r"^LS132: --where 'x': record 2, column 'country': .*never had") as caught:
        list(strict.encode_rows([{"country": "IT"}, {"country": "TI"}]))
    assert "TI" not in str(caught.value) and "IT" not in str(caught.value)  # of a file no value is shown
    with pytest.raises(ParameterError, match=r"^LS132: --where 'x': column 'country' never had the value 'TI'.*'IT'"):
        strict.encode_condition({"country": "TI"})
    unknown = encoder(strict=True)  # nothing is known of the column
    assert written(unknown, unknown.encode_rows([{"country": "TI"}])) == ["TI|"]
    assert unknown.counts.unchecked == {"country": 1}


def test_records_that_cannot_be_have_a_reason_and_keep_their_place():
    types = (ColumnType("long"), ColumnType(), ColumnType("enum", symbols=("IT", "FR")))
    limits = (ValueLimits(minimum=0, maximum=9), ValueLimits(pattern="[Ra-z]+"), ValueLimits())
    layout = RecordLayout(COLUMNS, FieldFormat(",", True), types=types)
    checks = RecordCheckSpec(layout, check_types=True, limits=limits)
    found = encoder(allowed=COLUMNS, checks=checks)
    rows = [
        {"country": "RR"},
        {"id": "a"},
        {"id": "10"},
        {"id": "1"},
        {"town": "T"},
        {"town": "a\nb"},
        {"id": "1", "town": "é"},
    ]
    starts = list(found.encode_rows(rows))
    assert [start.fault for start in starts] == [
        "schema:country:enum", "schema:id:long", "schema:id:range", None, "schema:town:pattern", "condition:town:field",
        "schema:town:pattern",
    ]  # fmt: skip
    assert [start.text for start in starts[:2]] == ["country=RR", "id=a"]
    with pytest.raises(
        ParameterError, match=r"^LS132: --where 'x': column 'id' has a value that contradicts the schema"
    ):
        found.encode_condition({"id": "a"})


@pytest.mark.parametrize("fill", [False, True])
def test_what_the_model_cannot_write_is_refused_where_nothing_is_near(fill):
    found = encoder(allowed=COLUMNS, fill=fill, known={"id": ("1", "9", "")})
    rows = [{"town": "Łódź"}, {"id": "x"}, {"id": "8"}]
    faults = [start.fault for start in found.encode_rows(rows)]
    nearest = "condition:id:unknown" if fill else None  # what a record keeps is never changed
    assert faults == ["condition:town:unknown", "condition:id:unknown", nearest]


def test_masks_of_types_refuse_but_those_of_what_was_seen_do_not():
    found = encoder(masked=True, allowed=COLUMNS)  # the second field of the model, the id, is a number up to 99
    faults = [start.fault for start in found.encode_rows([{"id": "99"}, {"id": "900"}, {"id": ""}, {"country": "RR"}])]
    assert faults == [None, "condition:id:masks", "condition:id:masks", None]


def test_without_quotes_a_value_cannot_hold_the_delimiter_or_meet_it():
    found = encoder(quoted=False, allowed=COLUMNS)
    assert [start.fault for start in found.encode_rows([{"id": "1,9"}, {"id": '"'}])] == ["condition:id:field", None]
    form = TokenFormat("ab", field_order=(2, 0, 1))
    meeting = ConditionEncoder(ConditionSettings("o", COLUMNS, COLUMNS), CharTokenizer([97, 98], form), None)
    rows = [{"id": "a"}, {"id": "b"}, {"country": "a"}, {"id": "abb"}]
    # Text that ends like the delimiter begins is fine here: the first delimiter from the left is the real one.
    assert [start.fault for start in meeting.encode_rows(rows)] == [None, None, None, "condition:id:field"]
    doubled = ConditionEncoder(
        ConditionSettings("o", COLUMNS, COLUMNS),
        CharTokenizer([97, 98], TokenFormat("aa", field_order=(2, 0, 1))),
        None,
    )
    assert [start.fault for start in doubled.encode_rows([{"id": "ba"}, {"country": "ba"}])] == [
        "condition:id:field",
        None,
    ]


def test_bytes_and_lone_surrogates():
    found = encoder(tokenizer=ByteTokenizer, allowed=COLUMNS)
    starts = list(found.encode_rows([{"town": "Łódź"}, {"town": "\ud800"}]))
    assert [start.fault for start in starts] == [None, "condition:town:unknown"]
    assert starts[0].ids == (-1, -1, *(2 + byte for byte in "Łódź".encode()), 0)


def test_the_nearest_value():
    assert nearest_value("7", ["1", "", "9"]) == "9"
    assert nearest_value("", ["1"]) is None
    assert nearest_value("x" * 10**6, ["y", "x"]) == "x"


def test_faults_survive_the_store(tmp_path):
    starts = [
        StartString("a", (1, -1, 2)),
        StartString("é", (), "schema:é:long"),
        StartString(),
        StartString("b", (5,)),
    ]
    write_store_counts(tmp_path, [write_start_strings(tmp_path, 0, starts)])
    assert list(read_start_strings_range(str(tmp_path), 0, 4)) == starts
    assert list(read_start_strings_range(str(tmp_path), 1, 3)) == starts[1:3]


def test_start_strings_in_turn():
    starts = tuple(StartString(text) for text in "abc")
    cycle = CyclicStartStrings(starts, 4, 9)
    assert "".join(start.text for start in cycle) == "bcabc"
    assert "".join(start.text for start in cycle[1:3]) == "ca"
    with pytest.raises(IndexError):
        cycle[5]


ROWS = [{"town": "Roma, Lazio", "country": "IT"}, {"town": 'a"b'}, {"country": "FR"}, {}]


def write_rows(path, full):
    """Write the four records in the format of the suffix; `full`: dictionaries with None where nothing is given."""
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix in ("csv", "tsv"):
        mark = "\t" if suffix == "tsv" else ","
        quote = FieldFormat(mark, quoted=True).quote
        text = "\n".join(
            [mark.join(("town", "country")), *(mark.join(quote(v or "") for v in row.values()) for row in full)]
        )
        content = ("\ufeff" + text + "\n\n").encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in full))
    elif suffix == "avro":
        fields = [{"name": name, "type": ["null", "string"]} for name in ("town", "country")]
        with open(path, "wb") as out:
            fastavro.writer(out, {"type": "record", "name": "R", "fields": fields}, full)
    else:
        pq.write_table(pa.Table.from_pylist(full), path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.avro", "a.parquet", "A.PQ"])
def test_every_format_gives_the_same_records(tmp_path, name):
    write_rows(tmp_path / name, [{"town": row.get("town"), "country": row.get("country")} for row in ROWS])
    found = list(iter_partial_records(str(tmp_path / name), "--impute 'x'", COLUMNS))
    assert found == ROWS  # a line of nothing but a comma is a record, a blank one is not


def test_a_line_of_commas_is_a_record_and_the_delimiter_of_the_model_will_do(tmp_path):
    (tmp_path / "a.csv").write_text("id; town\n1;\n;\n")
    found = list(iter_partial_records(str(tmp_path / "a.csv"), "o", COLUMNS, ";"))
    assert found == [{"id": "1"}, {}]


def test_typed_values_become_text(tmp_path):
    table = pa.table(
        {"id": [[date(2024, 2, 29)], None], "town": [date(2024, 2, 29), None], "country": [Decimal("1.50"), None]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = list(iter_partial_records(str(tmp_path / "a.parquet"), "o", COLUMNS))
    assert found == [{"id": '["2024-02-29"]', "town": "2024-02-29", "country": "1.50"}, {}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"IT\n", "its name says no format"),
        (
            "a.csv",
            b"country,foo\nIT,1\n",
            "its column 'foo' cannot be given. The columns that can are id, town, country",
        ),
        ("a.csv", b"country,country\nIT,1\n", "two of its columns have the same name"),
        ("a.csv", b"country,id\nIT\n", "row 2 has 1 fields instead of 2"),
        ("a.csv", b'country,id\n"IT"x,1\n', "is no CSV"),
        ("a.csv", b"country\n\xff\n", "is not UTF-8"),
        ("a.csv", b"", None),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.jsonl", b'{"country": "IT", "x": 1}\n', "its column 'x' cannot be given"),
        ("a.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("a.jsonl", b"{\n", "line 1 is no JSON object"),
        ("a.avro", b"Obj", "not an Avro file"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    if message is None:
        assert list(iter_partial_records(str(path), "o", COLUMNS)) == []
        return
    with pytest.raises(ParameterError, match=r"^LS132: --where-file 'x': ") as caught:
        list(iter_partial_records(str(path), "--where-file 'x'", COLUMNS))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
