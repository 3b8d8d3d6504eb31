"""Choose the masks of a model: what each field may hold, from a schema, or from what training saw and typed output needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.sampling.sample_types import SamplerOptions
from linesmith.model.sampling.token_automaton import TokenAutomaton, compile_automaton
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.output.schema import parse_schema
from linesmith.records.patterns.automaton import ByteAutomaton, in_optional_quotes
from linesmith.records.patterns.number_ranges import number_automaton, signed
from linesmith.records.patterns.schema_automata import field_automata
from linesmith.records.patterns.text_limits import text_automaton
from linesmith.records.patterns.usual_texts import usual_automaton

_log = logging.getLogger(__name__)
_TOO_LARGE = "LS125"
_Limits = TypeVar("_Limits", dict[str, Any], str)
_Machines = list[ByteAutomaton | None]  # of each field, in the order of the model; None: any text


def token_automaton(tokenizer: Tokenizer, info: ModelInfo, options: SamplerOptions) -> TokenAutomaton | None:
    """Build the masks of a model.

    Args:
        tokenizer: the model's.
        info: the model's description.
        options: whether there are masks, and the schema.

    Returns:
        The automaton; None where there are no masks: turned off, free text, or records with different field counts.

    Raises:
        ParameterError: the schema does not fit the model.
    """
    if not options.field_aware:
        return None
    count = info.field_count if options.field_count is None else options.field_count
    if tokenizer.field_delimiter is None or count is None:
        return None
    untyped: _Machines = [None] * count
    numbers = _of_limits(info.field_numbers, number_automaton, count)
    for number in _difference_fields(tokenizer, count):
        numbers[number] = None if (machine := numbers[number]) is None else signed(machine)
    types = untyped
    if options.schema is not None:
        types = _of_schema(options.schema, count, tokenizer)
        return compile_automaton(tokenizer, types, info.field_tokens, _of_differences(tokenizer, info, numbers))
    if options.inferred_schema is not None:
        inferred = _of_schema(options.inferred_schema, count, tokenizer)
        # Limits of numbers are narrower than their type already.
        types = [machine if seen is None else None for machine, seen in zip(inferred, numbers, strict=True)]
    texts = _of_limits(info.field_texts, partial(_text_automaton, tokenizer), count)
    # And a type is as narrow as the limits of texts.
    texts = [machine if typed is None else None for machine, typed in zip(texts, types, strict=True)]
    if info.field_patterns is not None:  # of a private model, of which nothing else is known
        texts = _of_limits(info.field_patterns, partial(_usual_automaton, tokenizer), count)
    seen = [number if text is None else text for number, text in zip(numbers, texts, strict=True)]
    for masks in ((types, seen), (types, numbers), (untyped, numbers)):
        # What was learned from the data must not stop a run: of a table with very many columns less is masked instead.
        try:
            return compile_automaton(tokenizer, masks[0], info.field_tokens, masks[1])
        except ParameterError as error:
            if error.code != _TOO_LARGE or masks == (untyped, untyped):
                raise
            _log.warning("the masks of %d fields do not fit in memory: fewer are applied", count)
    return compile_automaton(tokenizer, untyped, info.field_tokens, untyped)


def _of_limits(
    limits: Sequence[_Limits | None] | None, automaton: Callable[[_Limits], ByteAutomaton], count: int
) -> _Machines:
    """Return the automaton of each field's limits; None where there are none."""
    if limits is None or len(limits) != count:
        return [None] * count
    return [None if of_field is None else automaton(of_field) for of_field in limits]


def _text_automaton(tokenizer: Tokenizer, limits: dict[str, Any]) -> ByteAutomaton:
    return _of_stored(tokenizer, "field_texts", partial(text_automaton, limits))


def _usual_automaton(tokenizer: Tokenizer, pattern: str) -> ByteAutomaton:
    return _of_stored(tokenizer, "field_patterns", partial(usual_automaton, pattern))


def _of_stored(tokenizer: Tokenizer, name: str, build: Callable[[], ByteAutomaton]) -> ByteAutomaton:
    """Return the automaton of what 'model.json' holds of a field under some name."""
    try:
        machine = build()
    except ValueError:
        raise DataError(
            "LS214", None, f"'model.json' is damaged: one of its {name} is no pattern", "Train again."
        ) from None
    return in_optional_quotes(machine) if tokenizer.quoted else machine


def _of_schema(schema: str, count: int, tokenizer: Tokenizer) -> _Machines:
    """Return the automaton of each field, in the order in which the model writes them; None for those written as differences."""
    types: _Machines = list(field_automata(parse_schema(schema), count))
    order = tokenizer.token_format.order
    types = types if order is None else order.to_model(types)
    for number in _difference_fields(tokenizer, count):
        types[number] = None
    return types


def _of_differences(tokenizer: Tokenizer, info: ModelInfo, numbers: _Machines) -> _Machines:
    """Return what is known of the fields that are written as differences, where a schema speaks of all fields; None of others."""
    texts = _of_limits(info.field_patterns, partial(_usual_automaton, tokenizer), len(numbers))
    found: _Machines = [None] * len(numbers)
    for number in _difference_fields(tokenizer, len(numbers)):
        found[number] = numbers[number] if texts[number] is None else texts[number]
    return found


def _difference_fields(tokenizer: Tokenizer, count: int) -> list[int]:
    """Return the fields that the model writes as differences, by number in its order, of records with `count` fields."""
    order = tokenizer.token_format.order
    positions = tuple(range(count)) if order is None else order.for_count(count)
    return [positions.index(field) for field in tokenizer.token_format.bases if field < count]
