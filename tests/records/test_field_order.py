"""Tests of the order of fields: the way to the model and back, over hostile records and every tokenizer without a model."""

import random

import numpy as np
import pytest

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError
from linesmith.model.sampling.batch_decoder import BatchDecoder
from linesmith.model.tokenizers import ByteTokenizer, CharTokenizer, load_tokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.field_order import FieldOrder
from linesmith.records.fields import FieldFormat
from linesmith.records.input.record_format import RecordFormat
from linesmith.records.model_form import ModelForm

PIECES = ["", "a", "7", ",", '"', "ab", "b, c", "ba", "é", '""', " "]


def hostile_records(delimiter, quoted, seed, count=200):
    """Yield records of 1 to 6 fields, empty ones, quotes, and parts of the delimiter among them."""
    draw = random.Random(seed)
    form = FieldFormat(delimiter, quoted)
    for _ in range(count):
        fields = ["".join(draw.choices(PIECES, k=draw.randint(0, 3))) for _ in range(draw.randint(1, 6))]
        text = form.join(fields) if quoted and draw.random() < 0.7 else delimiter.join(fields)
        if text:
            yield text


@pytest.mark.parametrize(
    ("delimiter", "quoted"), [(",", True), (",", False), ("ab", False), (", ", False), ('a"', False)]
)
@pytest.mark.parametrize("markers", [0, 3])
def test_records_go_to_the_model_and_back(delimiter, quoted, markers):
    draw = random.Random(markers)
    pattern = "<{}>" if markers else None
    for seed in range(8):
        positions = list(range(5))
        draw.shuffle(positions)
        order = FieldOrder(tuple(positions))
        form = TokenFormat(delimiter, quoted, column_pattern=pattern, markers=markers, field_order=order.positions)
        characters = sorted({ord(c) for c in "".join(PIECES) + delimiter})
        tokenizers = [CharTokenizer(characters, form), ByteTokenizer(form)]
        reader = RecordFormat(fields=FieldFormat(delimiter, quoted), form=ModelForm(order))
        for text in hostile_records(delimiter, quoted, seed):
            marked = reader.mark_fields(text)
            assert ModelForm(order).mark_for_input(marked) == FieldFormat(delimiter, quoted).mark_breaks(text)
            for tokenizer in tokenizers:
                ids = tokenizer.encode_to_ids(text)
                # What the saved graph writes is what the reader marked; the tokenizer gives the same ids.
                assert tokenizer.decode_structure(ids) == marked
                assert tokenizer.decode_from_ids(ids) == text
                assert tokenizer.decode_from_ids([0, *ids, 0, *ids, 0]) == f"\n{text}\n{text}\n"
                decoder = BatchDecoder(tokenizer)
                assert (
                    decoder.decode(np.array([*ids, 0] * 2, np.int32), np.array([len(ids) + 1] * 2))
                    == [(text, None)] * 2
                )


def test_the_given_columns_come_first_and_the_others_keep_their_order():
    order = FieldOrder.first(["d", "b"], ["a", "b", "c", "d"])
    assert order.positions == (3, 1, 0, 2)
    assert [order.to_model("abcd"[:count]) for count in (0, 1, 3, 4)] == [
        [],
        ["a"],
        ["b", "a", "c"],
        ["d", "b", "a", "c"],
    ]
    with pytest.raises(ValueError, match="not in list"):
        FieldOrder.first(["x"], ["a"])


def test_a_tokenizer_stores_its_order_and_one_without_leaves_no_trace(tmp_path):
    plain, ordered = (ByteTokenizer(TokenFormat(",", field_order=order)) for order in (None, (1, 0)))
    for name, tokenizer in (("plain", plain), ("ordered", ordered)):
        tokenizer.save(tmp_path / name)
        assert load_tokenizer(tmp_path / name).token_format == tokenizer.token_format
    assert "field_order" not in read_json(tmp_path / "plain" / "tokenizer_params.json", "it")
    assert plain.digest != ordered.digest
    # The digest of an order-free tokenizer is that of before there were orders.
    assert plain.digest == "b771153ef60232334658532774631b26389504e9975dd45adc024e41334e9725"


@pytest.mark.parametrize("order", [[0, 0], [1, 2], ["0", 1], 7, "01", [True, False]])
def test_a_damaged_order_is_refused(tmp_path, order):
    ByteTokenizer(TokenFormat(",", field_order=(1, 0))).save(tmp_path)
    params = read_json(tmp_path / "tokenizer_params.json", "it")
    write_json(tmp_path / "tokenizer_params.json", {**params, "field_order": order})
    with pytest.raises(DataError, match="LS201"):
        load_tokenizer(tmp_path)
