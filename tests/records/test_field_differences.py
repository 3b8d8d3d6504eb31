"""Tests of fields that the model is given as differences: every text comes back, through every tokenizer, and what is refused."""

import random
from fractions import Fraction

import numpy as np
import pytest

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError, TokenizerError
from linesmith.model.sampling.batch_decoder import BatchDecoder
from linesmith.model.tokenizers import ByteTokenizer, CharTokenizer, load_tokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.field_differences import RAW, FieldDifference, FieldDifferences
from linesmith.records.field_order import FieldOrder
from linesmith.records.fields import FieldFormat
from linesmith.records.input.record_format import RecordFormat
from linesmith.records.model_form import ModelForm

HOSTILE = [
    "", " ", "-", "=", "==1", "=1.5", "0", "-0", "0.0", "-0.0", "00", "1.", ".5", "1e5", "+1", "1 2", " 7", "7 ", " -2.50 ",
    "nan", "inf", "1_0", "١", "9" * 18, "9" * 19, "-" + "9" * 18, "0." + "9" * 18, "1." + "0" * 18, "unknown", "é", '"1"',
]  # fmt: skip
DECIMALS = (None, 0, 1, 2, 15)


def hostile_text(draw):
    """Return a number in one of many spellings, or one of the hostile texts."""
    kind = draw.random()
    if kind < 0.3:
        return draw.choice(HOSTILE)
    if kind < 0.5:
        return str(draw.randint(-(10**3), 10**3))
    if kind < 0.7:
        return f"{draw.uniform(-200, 200):.{draw.randint(0, 8)}f}"
    return repr(round(draw.uniform(-200, 200), draw.randint(0, 6)))


@pytest.mark.parametrize("decimals", DECIMALS)
def test_every_text_comes_back(decimals):
    draw, one = random.Random(1), FieldDifference(1, 0, decimals)
    pairs = [(text, base) for text in HOSTILE for base in HOSTILE]
    pairs += [(hostile_text(draw), hostile_text(draw)) for _ in range(4000)]
    for text, base in pairs:
        form = one.subtract(text, base)
        assert one.add(form, base) == text
        if form and not form.startswith(RAW):
            # Exact fractions as the oracle; with given decimals the base is rounded to them, by half a place at most.
            error = Fraction(form.strip()) - (Fraction(text.strip()) - Fraction(base.strip()))
            assert abs(error) <= (0 if decimals is None else Fraction(1, 2 * 10**decimals))


@pytest.mark.parametrize(
    ("text", "base", "decimals", "form"),
    [
        ("37.7552", "37.754061", None, "+0.001139"),
        ("-97.739001", "-97.74205", None, "+0.003049"),
        ("5", "12", None, "-7"),
        ("0.0", "36.97", None, "-36.97"),
        ("37", "36.5", None, "=37"),  # it would come back as 37.0
        ("37", "36.5", 0, "+1"),  # 36.5 is taken as 36, the even one
        ("3.50", "1.25", 2, "+2.25"),
        ("3.5", "1.25", 2, "=3.5"),
        ("3.50", "1.25", None, "=3.50"),
        ("1606780800000", "1606780799000", None, "+1000"),
        ("7", "", None, "=7"),
        ("", "7", None, ""),
        (" 7.5", "7", None, " +0.5"),
    ],
)
def test_forms(text, base, decimals, form):
    assert FieldDifference(1, 0, decimals).subtract(text, base) == form


def test_numbers_as_programs_print_them_are_differences_and_never_raw():
    draw = random.Random(2)
    for one, spell in (
        (FieldDifference(1, 0), repr),
        (FieldDifference(1, 0), lambda value: str(round(value))),
        (FieldDifference(1, 0, 2), lambda value: f"{value:.2f}"),
    ):
        for _ in range(2000):
            text, base = (spell(round(draw.uniform(-99, 99), draw.randint(1, 6))) for _ in range(2))
            assert not one.subtract(text, base).startswith(RAW)


@pytest.mark.parametrize(("form", "base"), [("1", ""), ("1", "x"), ("x", "1"), ("1.5.2", "1"), (" ", "1"), ("1", "=1")])
def test_a_difference_of_no_numbers_is_refused_without_their_text(form, base):
    with pytest.raises(ValueError, match=r"^a difference needs two numbers$"):
        FieldDifference(1, 0).add(form, base)


FORMS = [
    (None, ((1, 0, None), (3, 1, 2))),
    ((0, 2, 1, 3, 4), ((1, 0, None), (2, 0, 0))),
    ((3, 0, 1, 2, 4), ((4, 3, None),)),
]


@pytest.mark.parametrize(("order", "differences"), FORMS)
@pytest.mark.parametrize(("delimiter", "quoted"), [(",", True), (",", False), (", ", False)])
@pytest.mark.parametrize("markers", [0, 3])
def test_records_go_to_the_model_and_back(order, differences, delimiter, quoted, markers):
    token_format = TokenFormat(
        delimiter, quoted, column_pattern="<{}>" if markers else None, markers=markers, field_order=order,
        field_differences=differences,
    )  # fmt: skip
    form = ModelForm(
        None if order is None else FieldOrder(order),
        FieldDifferences(tuple(FieldDifference(*one) for one in differences)),
    )
    characters = sorted({ord(c) for c in "".join(HOSTILE) + "0123456789.-=,e "})
    tokenizers = [CharTokenizer(characters, token_format), ByteTokenizer(token_format)]
    reader, draw = RecordFormat(fields=FieldFormat(delimiter, quoted), form=form), random.Random(3)
    for _ in range(300):
        fields = [hostile_text(draw) for _ in range(draw.randint(1, 6))]
        text = FieldFormat(delimiter, quoted).join(fields)
        marked = reader.mark_fields(text)
        assert form.mark_for_input(marked) == FieldFormat(delimiter, quoted).mark_breaks(text)
        for tokenizer in tokenizers:
            ids = tokenizer.encode_to_ids(text)
            assert tokenizer.decode_structure(ids) == marked
            assert tokenizer.decode_from_ids(ids) == text
            assert tokenizer.decode_from_ids([0, *ids, 0, *ids, 0]) == f"\n{text}\n{text}\n"
            lengths = np.array([len(ids) + 1] * 2)
            assert BatchDecoder(tokenizer).decode(np.array([*ids, 0] * 2, np.int32), lengths) == [(text, None)] * 2


def test_ids_whose_difference_has_no_number_are_no_record():
    token_format = TokenFormat(",", field_differences=((1, 0, None),))
    for tokenizer in (CharTokenizer([ord(c) for c in "x1="], token_format), ByteTokenizer(token_format)):
        x, one, raw = (tokenizer.encode_to_ids(text)[0] for text in "x1=")
        with pytest.raises(TokenizerError, match="LS227"):
            tokenizer.decode_from_ids([x, 1, one])
        ids = [[x, 1, one], [one, 1, one], [x, 1, raw, x]]
        flat = np.array([number for record in ids for number in [*record, 0]], np.int32)
        found = BatchDecoder(tokenizer).decode(flat, np.array([len(record) + 1 for record in ids]))
        assert found == [("", "difference"), ("1,2", None), ("x,x", None)]


def test_a_tokenizer_stores_its_differences_and_one_without_leaves_no_trace(tmp_path):
    plain, with_some = (ByteTokenizer(TokenFormat(",", field_differences=d)) for d in (None, ((1, 0, None), (2, 1, 2))))
    for name, tokenizer in (("plain", plain), ("some", with_some)):
        tokenizer.save(tmp_path / name)
        assert load_tokenizer(tmp_path / name).token_format == tokenizer.token_format
    assert "field_differences" not in read_json(tmp_path / "plain" / "tokenizer_params.json", "it")
    assert plain.digest != with_some.digest


@pytest.mark.parametrize(
    "stored",
    [7, "01", [], [[1, 0]], [[1, 1, None]], [[0, 1, None]], [[1, 0, -1]], [[1, 0, 16]], [[1, 0, True]], [["1", 0, None]],
     [[1, 0, None], [1, 0, 2]], [[1, -1, None]], [[10_000, 0, None]]],
)  # fmt: skip
def test_damaged_differences_are_refused(tmp_path, stored):
    ByteTokenizer(TokenFormat(",", field_differences=((1, 0, None),))).save(tmp_path)
    params = read_json(tmp_path / "tokenizer_params.json", "it")
    write_json(tmp_path / "tokenizer_params.json", {**params, "field_differences": stored})
    with pytest.raises(DataError, match="LS201"):
        load_tokenizer(tmp_path)


def test_a_base_must_be_written_first(tmp_path):
    ByteTokenizer(TokenFormat(",", field_order=(1, 0), field_differences=((1, 0, None),))).save(tmp_path)
    with pytest.raises(DataError, match="LS201"):
        load_tokenizer(tmp_path)
