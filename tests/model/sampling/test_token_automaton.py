"""Field-aware decoding: the automaton compared with a brute-force implementation of the rules, for tokens of every kind."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, deque
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from linesmith.core.artifacts.model_info import read_model_info, write_model_info
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.unit_generator import generate_unit
from linesmith.model.generation.work_units import WorkUnit
from linesmith.model.sampling.masks import token_automaton
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions
from linesmith.model.sampling.token_automaton import TokenAutomaton, compile_automaton
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.fields import FieldFormat
from linesmith.records.output.schema import parse_schema
from linesmith.records.patterns.number_ranges import number_automaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.regex_parser import parse_regex
from linesmith.records.patterns.schema_automata import field_automata
from linesmith.records.validation.record_validator import RecordValidator
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration


def _accepts(automaton: TokenAutomaton, ids: list[int]) -> bool:
    """Return whether the masks allow a record, its final newline included."""
    state = 0
    for token in [*ids, 0]:
        move = int(automaton.transitions[state, token])
        if move < 0:
            return False
        state = move
    return True


@pytest.mark.parametrize(
    ("delimiter", "quoted"), [(",", False), (", ", False), ("aa", False), (",", True), ("aba", False)]
)
def test_exactly_the_records_with_the_field_count_are_allowed(delimiter, quoted):
    """Each sequence of up to seven tokens is allowed exactly if it is the encoding of its text and has two fields."""
    alphabet = 'ab, "'
    tokenizer = CharTokenizer([ord(c) for c in alphabet], TokenFormat(delimiter, quoted))
    automaton = compile_automaton(tokenizer, [None, None])
    tokens = range(1, tokenizer.total_vocab_size)
    for length in range(6):
        for ids in itertools.product(tokens, repeat=length):
            text = tokenizer.decode_from_ids(ids)
            right = tokenizer.encode_to_ids(text) == list(ids) and ids.count(1) == 1
            if quoted and right:
                right = _closed(text)
            assert _accepts(automaton, list(ids)) == right, ids


def _closed(text: str) -> bool:
    """Return whether no quoted field is open at the end: a delimiter appended to the record would separate fields."""
    return len(FieldFormat(",", quoted=True).split(text + ",x")) == 3


def test_markers_come_before_their_fields():
    tokenizer = CharTokenizer([97, 98], TokenFormat(",", column_pattern="<c{}>", markers=2))
    automaton = compile_automaton(tokenizer, [None, None])
    ids = tokenizer.encode_to_ids("a,b")
    assert _accepts(automaton, ids)
    assert not _accepts(automaton, [i for i in ids if i != 3])
    assert not _accepts(automaton, [3, *ids[1:]])


def test_bytes_form_complete_characters():
    tokenizer = ByteTokenizer(TokenFormat(field_delimiter=","))
    automaton = compile_automaton(tokenizer, [None, None])
    for text in ("é,x", "a,\U0001f600", ","):
        assert _accepts(automaton, tokenizer.encode_to_ids(text))
    assert not _accepts(automaton, tokenizer.encode_to_ids("é,x")[1:])
    assert not _accepts(automaton, tokenizer.encode_to_ids("x,é")[:-1])


def test_only_tokens_seen_in_a_field_are_drawn_but_a_start_string_may_hold_others():
    tokenizer = CharTokenizer([ord(c) for c in "ab01"], TokenFormat(","))
    letters, digits = tokenizer.encode_to_ids("ab"), tokenizer.encode_to_ids("01")
    automaton = compile_automaton(tokenizer, [None, None], [letters, digits])
    assert _accepts(automaton, tokenizer.encode_to_ids("ab,01"))
    assert not _accepts(automaton, tokenizer.encode_to_ids("a0,01"))
    assert automaton.accepts_prefix(tokenizer.encode_to_ids("00,"))


def test_a_state_without_an_accepted_continuation_is_never_entered():
    """The pattern requires a 'c' after 'b', but the model has no token for 'c': 'b' itself must be forbidden."""
    tokenizer = CharTokenizer([ord(c) for c in "ab"], TokenFormat(","))
    automaton = compile_automaton(tokenizer, [compile_pattern(parse_regex("a|bc")), None])
    a, b = tokenizer.encode_to_ids("ab")
    assert automaton.transitions[0, a] >= 0 > automaton.transitions[0, b]
    with pytest.raises(ParameterError, match="LS115: no record can be written"):
        compile_automaton(tokenizer, [compile_pattern(parse_regex("c")), None])


def test_numbers_stay_within_the_limits_of_their_field_but_a_start_string_may_leave_them():
    tokenizer = CharTokenizer([ord(c) for c in "0123456789.-x"], TokenFormat(","))
    limits = {"least": "-2", "most": "12", "scale": 1, "empty": False}
    automaton = compile_automaton(tokenizer, [None, None], None, [number_automaton(limits), None])
    for text in ("".join(chars) for length in range(5) for chars in itertools.product("019.-", repeat=length)):
        spelt = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9])?", text) is not None and text not in ("-0", "-0.0")
        right = spelt and -2 <= Decimal(text) <= 12
        assert _accepts(automaton, tokenizer.encode_to_ids(text + ",x")) == right, text
    strayed = tokenizer.encode_to_ids("37")
    assert automaton.accepts_prefix(strayed)
    assert automaton.accepts_prefix(tokenizer.encode_to_ids("x.x,1"))
    state = _state_after(automaton, strayed)
    assert (automaton.transitions[state, tokenizer.encode_to_ids("x7.,")] >= 0).all()  # no longer constrained


def _state_after(automaton: TokenAutomaton, ids: list[int]) -> int:
    state = 0
    for number in ids:
        move = int(automaton.transitions[state, number])
        state = ~move if move < 0 else move
    return state


SCHEMA = {
    "type": "record",
    "name": "Ride",
    "fields": [
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["ab", "abc", "j"]}},
        {"name": "count", "type": "int", "minimum": -3, "maximum": 250},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}]},
        {"name": "code", "type": "string", "pattern": "[a-c]{2}[0-9]+"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "note", "type": "string"},
    ],
}
GOOD = ["abc", "250", "12.5", "ab7", "2024-02-29", "anything"]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (0, ["ab", "j"], ["a", "abcd", ""]),
        (1, ["-3", "0", "99"], ["-4", "251", "007", ""]),
        (2, ["", "99.99", "0", "-1.5"], ["100", "1.234", "."]),
        (3, ["aa0", "cb123"], ["ad0", "ab"]),
        (4, ["0001-01-01", "1999-12-31"], ["2023-02-29", "1900-02-29", "2024-13-01", "2024-1-1"]),
        (5, ["", "x"], []),
    ],
)
def test_a_schema_decides_what_a_field_holds(field, good, bad):
    tokenizer = ByteTokenizer(TokenFormat(field_delimiter="|"))
    automaton = compile_automaton(tokenizer, field_automata(parse_schema(json.dumps(SCHEMA)), 6))
    for texts, right in ((good, True), (bad, False)):
        for text in texts:
            record = "|".join([*GOOD[:field], text, *GOOD[field + 1 :]])
            assert _accepts(automaton, tokenizer.encode_to_ids(record)) == right, text


def _with_fields(directory, field_tokens, count=3):
    tiny_run(directory, cap=60)
    info = replace(read_model_info(directory), field_count=count, field_tokens=field_tokens)
    write_model_info(directory / "model", info)
    return info


def test_every_record_has_the_right_shape(tmp_path):
    tokenizer = CharTokenizer([ord(c) for c in "abcdefghij0123456789."], TokenFormat(field_delimiter=", "))
    letters, digits = tokenizer.encode_to_ids("abcdefghij"), tokenizer.encode_to_ids("0123456789")
    _with_fields(tmp_path, [letters, digits, letters + digits])
    sampler = Sampler(tmp_path)
    complete = 0
    for sample in sampler.stream(deque(SampleRequest(i, 0) for i in range(300)), DrawSettings(seed=2)):
        fields = sample.text.split(", ")
        if sample.finish_reason == "newline":
            complete += 1
            assert len(fields) == 3
            assert 0 < sample.acceptance_probability < 1
        assert set(fields[0]) <= set("abcdefghij")
        assert len(fields) < 2 or set(fields[1]) <= set("0123456789")
        assert "." not in sample.text
    assert complete > 100
    plain = Sampler(tmp_path, options=SamplerOptions(field_aware=False))
    assert plain.automaton is None
    assert any("." in s.text for s in plain.stream(deque(SampleRequest(i, 0) for i in range(50)), DrawSettings(seed=2)))


def test_private_training_has_no_learned_masks(tmp_path):
    info = _with_fields(tmp_path, None)
    tokenizer = Sampler(tmp_path).tokenizer
    automaton = token_automaton(tokenizer, info, SamplerOptions())
    assert automaton is not None
    assert _accepts(automaton, tokenizer.encode_to_ids("0a., b, 9"))
    assert token_automaton(tokenizer, replace(info, field_count=None), SamplerOptions()) is None


def test_inferred_types_are_masked_and_numbers_stay_within_their_limits(tmp_path):
    info = _with_fields(tmp_path, None)
    tokenizer = Sampler(tmp_path).tokenizer
    fields = [{"name": "a", "type": "string"}, {"name": "b", "type": ["null", "long"]}, {"name": "c", "type": "long"}]
    schema = json.dumps({"type": "record", "name": "R", "fields": fields})
    limited = replace(info, field_numbers=[None, None, {"least": "0", "most": "7", "scale": 0, "empty": False}])
    automaton = token_automaton(tokenizer, limited, SamplerOptions(inferred_schema=schema))
    assert automaton is not None
    for text, is_allowed in (
        ("a, 9, 7", True),
        ("a, , 7", True),
        ("a, 9, 8", False),
        ("a, b, 7", False),
        ("a, 09, 7", False),
    ):
        assert _accepts(automaton, tokenizer.encode_to_ids(text)) == is_allowed, text


def test_texts_stay_within_their_limits_and_a_start_string_may_leave_them(tmp_path):
    info = _with_fields(tmp_path, None)
    tokenizer = Sampler(tmp_path).tokenizer
    filled, number = {"type": None, "empty": False}, {"least": "0", "most": "7", "scale": 0, "empty": False}
    limited = replace(info, field_texts=[filled, None, None], field_numbers=[None, None, number])
    automaton = token_automaton(tokenizer, limited, SamplerOptions())
    assert automaton is not None
    for text, is_allowed in (("a, , 7", True), (", , 7", False), ("a, , ", False), ("9, b, 0", True)):
        assert _accepts(automaton, tokenizer.encode_to_ids(text)) == is_allowed, text
    for given in (", ", ", b, ", "a, , 9"):
        assert automaton.accepts_prefix([i for i in tokenizer.encode_to_ids(given) if i]), given


@pytest.mark.parametrize("typed", [False, True])
def test_only_seen_shapes_are_drawn_with_types_or_without_and_a_start_string_may_have_others(typed, tmp_path):
    shapes = {"type": None, "empty": False, "pattern": "(?:[a-c]{2}|[0-9])"}
    info = replace(_with_fields(tmp_path, None), field_texts=[shapes, {**shapes, "empty": True}, None])
    tokenizer = Sampler(tmp_path).tokenizer
    fields = [
        {"name": "a", "type": "string"},
        {"name": "b", "type": ["null", "string"]},
        {"name": "c", "type": "string"},
    ]
    schema = json.dumps({"type": "record", "name": "R", "fields": fields}) if typed else None
    automaton = token_automaton(tokenizer, info, SamplerOptions(inferred_schema=schema))
    assert automaton is not None
    for text, is_allowed in (
        ("ab, , b", True),
        ("9, ab, b", True),
        ("a, ab, b", False),
        ("ab, 99, b", False),
        (", ab, b", False),
    ):
        assert _accepts(automaton, tokenizer.encode_to_ids(text)) == is_allowed, text
    assert automaton.accepts_prefix([i for i in tokenizer.encode_to_ids("99b, ") if i])
    damaged = replace(info, field_texts=[{**shapes, "pattern": "("}, None, None])
    with pytest.raises(DataError, match=r"LS214.*'model\.json'.*no pattern"):
        token_automaton(tokenizer, damaged, SamplerOptions())


def test_unusual_texts_of_a_private_model_are_masked_and_a_start_string_may_hold_them(tmp_path):
    info = replace(_with_fields(tmp_path, None), field_patterns=["[a-b]", None, "(?:[0-7]|99)"])
    tokenizer = Sampler(tmp_path).tokenizer
    automaton = token_automaton(tokenizer, info, SamplerOptions())
    assert automaton is not None
    for text, is_allowed in (("a, , 7", True), ("a, b, 99", True), ("a, b, 9", False), ("9, b, 0", False)):
        assert _accepts(automaton, tokenizer.encode_to_ids(text)) == is_allowed, text
    assert automaton.accepts_prefix([i for i in tokenizer.encode_to_ids("9, ") if i])
    with pytest.raises(DataError, match=r"LS214.*'model\.json'.*no pattern"):
        token_automaton(tokenizer, replace(info, field_patterns=["(", None, None]), SamplerOptions())


def test_learned_masks_that_do_not_fit_are_left_out(tmp_path, monkeypatch):
    """A default run over very many columns must not end because of what was learned about them."""
    info = _with_fields(tmp_path, None)
    tokenizer = Sampler(tmp_path).tokenizer
    fields = [{"name": name, "type": "long"} for name in "abc"]
    schema = json.dumps({"type": "record", "name": "R", "fields": fields})
    numbers = replace(info, field_numbers=[{"least": "0", "most": "777777", "scale": 0, "empty": False}] * 3)
    for model, cells, allows_letters in ((info, 20_000, True), (numbers, 20_000, False), (numbers, 300, True)):
        monkeypatch.setattr("linesmith.model.sampling.token_automaton.MAX_CELLS", cells)
        automaton = token_automaton(tokenizer, model, SamplerOptions(inferred_schema=schema))
        assert automaton is not None
        assert _accepts(automaton, tokenizer.encode_to_ids("1, 1, 1"))
        assert _accepts(automaton, tokenizer.encode_to_ids("a, 1, 1")) == allows_letters
        assert not _accepts(automaton, tokenizer.encode_to_ids("1, 1"))
    with pytest.raises(ParameterError, match="LS125"):
        token_automaton(tokenizer, info, SamplerOptions(schema=schema))


@pytest.mark.parametrize(
    ("text", "is_allowed"), [("1,2", True), ('"1",2', True), ('"1,2', False), ('"1"2,2', False), ('1",2', False)]
)
def test_a_value_of_a_type_may_stand_in_quotes(text, is_allowed):
    tokenizer = CharTokenizer([ord(c) for c in '12",'], TokenFormat(",", True))
    schema = json.dumps({"type": "record", "name": "R", "fields": [{"name": n, "type": "long"} for n in "ab"]})
    automaton = compile_automaton(tokenizer, field_automata(parse_schema(schema), 2))
    assert _accepts(automaton, tokenizer.encode_to_ids(text)) == is_allowed


def _lengths(sampler, seed: int, exact: bool = False) -> Counter[int]:
    """Return the counts of the lengths of 2,000 records of two fields, in bins of three characters."""
    unit = WorkUnit(0, 0, 2000)
    settings = AttemptSettings(DrawSettings(seed), exact_distribution=exact, max_attempts=100_000, min_valid_rate=0)
    result = generate_unit(sampler, unit, settings, RecordValidator(field_count=2, fields=FieldFormat(", ")))
    assert not result.missing
    return Counter(len(outcome.text) // 3 for outcome in result.valid)


@pytest.mark.slow
def test_thinning_equals_rejection_sampling_and_the_plain_mask_does_not(tmp_path):
    """Compare lengths of two independent samples: chi-square and its 1 − 10⁻⁴ quantile by Wilson and Hilferty."""
    _with_fields(tmp_path, None, count=2)
    masked = Sampler(tmp_path)
    plain = Sampler(tmp_path, options=SamplerOptions(field_aware=False))
    rejection = _lengths(plain, seed=5)
    assert _distance(rejection, _lengths(masked, seed=6, exact=True)) < 0
    assert _distance(rejection, _lengths(masked, seed=6)) > 0


def _distance(one: Counter[int], other: Counter[int]) -> float:
    """Return the chi-square of two samples of equal size minus its critical value; rare values are pooled."""
    keys = [key for key in one | other if one[key] + other[key] >= 20]
    a = np.array([one[k] for k in keys] + [sum(n for k, n in one.items() if k not in keys)], float)
    b = np.array([other[k] for k in keys] + [sum(n for k, n in other.items() if k not in keys)], float)
    used = a + b > 0
    a, b = a[used], b[used]
    freedom = len(a) - 1
    critical = freedom * (1 - 2 / (9 * freedom) + 3.719 * np.sqrt(2 / (9 * freedom))) ** 3
    return float(((a - b) ** 2 / (a + b)).sum() - critical)
