"""Field-aware decoding: an automaton over tokens that says what may follow, so that every record has the right shape.

Guaranteed for a record that ends by itself: the exact number of fields, no delimiter inside a field but in quotes, column
markers where they belong, whole UTF-8 sequences, in each field only the tokens seen there in training, numbers within the
limits seen there (neither in private training, whose masks come from public configuration alone), and, with a schema, a text of
the field's type.

Masking is not rejection sampling: text comes out with probability ∏ p / ∏ Zₜ instead of ∏ p / P(valid), with Zₜ the share of
the probability that the mask leaves at step t. The mean of ∏ Zₜ is the rate at which the unmasked model would give valid
records; accepting a finished record with probability ∏ Zₜ restores its distribution exactly (`rejection_sampling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.core.errors import ParameterError
from linesmith.model.sampling.sample_types import SamplerOptions
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.field_format import FieldFormat
from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID
from linesmith.records.patterns.automaton import (
    DEAD,
    ByteAutomaton,
    both,
    field_text_automaton,
    soft_intersect,
    utf8_automaton,
)
from linesmith.records.patterns.number_ranges import number_automaton

MAX_CELLS = 1 << 27  # states × tokens: half a gibibyte
Moves = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TokenAutomaton:
    """What may follow.

    Attributes:
        moves: [states, vocab] int32: the next state, or ~ of it where the token may not be drawn but a start string may hold
            it. A move into the last state leads nowhere. State 0 begins a record.
    """

    moves: Moves

    def follows(self, ids: Sequence[int]) -> bool:
        """Whether a record may go on after these ids, tokens of a start string not seen in training included."""
        state, nowhere = 0, len(self.moves) - 1
        for number in ids:
            move = int(self.moves[state, number])
            state = ~move if move < 0 else move
            if state == nowhere:
                return False
        return bool((self.moves[state] >= 0).any())


def token_automaton(tokenizer: Tokenizer, info: ModelInfo, options: SamplerOptions) -> TokenAutomaton | None:
    """The masks of a model; None where there are none: turned off, free text, or records of several field counts.

    Raises:
        ParameterError: the schema does not fit the model.
    """
    if not options.field_aware:
        return None
    count = info.field_count if options.field_count is None else options.field_count
    if tokenizer.field_delimiter is None or count is None:
        return None
    types: list[ByteAutomaton | None] = [None] * count
    learnt: list[ByteAutomaton | None] = [None] * count
    if options.schema is not None:
        from linesmith.records.output.schema import parse_schema
        from linesmith.records.patterns.schema_automata import field_automata

        types = field_automata(parse_schema(options.schema), count)
    elif info.field_numbers is not None and len(info.field_numbers) == count:
        learnt = [None if limits is None else number_automaton(limits) for limits in info.field_numbers]
    return compile_automaton(tokenizer, types, info.field_tokens, learnt)


def compile_automaton(
    tokenizer: Tokenizer,
    types: Sequence[ByteAutomaton | None],
    field_tokens: Sequence[Sequence[int]] | None = None,
    learnt: Sequence[ByteAutomaton | None] | None = None,
) -> TokenAutomaton:
    """The automaton of records with so many fields.

    Args:
        tokenizer: with a field delimiter.
        types: what each field may hold; None: any text.
        field_tokens: ids that may be drawn in each field; None: all.
        learnt: texts that may be drawn in each field; a start string may hold others, and then anything follows. None: all.

    Raises:
        ParameterError: no record can be written: a field's type needs tokens that do not exist, or the tables are too large.
    """
    contents = token_bytes(tokenizer)
    fields = _format(tokenizer)
    machines = _machines(tokenizer, types, [None] * len(types) if learnt is None else learnt)
    starts, total = [], 0
    for number, machine in enumerate(machines):
        starts.append(total)
        total += len(machine.moves) + (number < fields.markers)
    if (total + 1) * len(contents) > MAX_CELLS:
        raise ParameterError(
            f"LS115: field-aware decoding needs {total:,} states for {len(contents):,} tokens, more than fit in memory; give "
            "simpler types in the schema, or generate with --no-field-aware.",
            code="LS115",
        )
    moves = np.full((total + 1, len(contents)), total, np.int32)
    allowed = np.zeros(moves.shape, np.bool_)
    walked: dict[int, Moves] = {}
    for number, machine in enumerate(machines):
        first = starts[number]
        if number < fields.markers:
            moves[first, 2 + number], allowed[first, 2 + number] = first + 1, True
            first += 1
        here = slice(first, first + len(machine.moves))
        if id(machine) not in walked:
            walked[id(machine)] = walk(machine, contents, fields.reserved)
        to = walked[id(machine)]
        moves[here] = np.where(to == DEAD, total, first + to)
        allowed[here] = to != DEAD
        if machine.strayed is not None:
            allowed[here] &= ~machine.strayed[to] | machine.strayed[:, None]
        if field_tokens is not None and number < len(field_tokens):
            seen = np.zeros(len(contents), np.bool_)
            seen[list(field_tokens[number])] = True
            allowed[here] &= seen
        ends = np.flatnonzero(machine.accepts) + first
        if number + 1 < len(machines):
            moves[ends, DELIMITER_ID], allowed[ends, DELIMITER_ID] = starts[number + 1], True
        else:
            moves[ends, NEWLINE_ID], allowed[ends, NEWLINE_ID] = 0, True
            if len(machines) == 1:
                allowed[starts[0], NEWLINE_ID] = False  # an empty record is none
    allowed[:, list(tokenizer.never_sampled)] = False
    return TokenAutomaton(_pruned(moves, allowed))


def walk(machine: ByteAutomaton, contents: Sequence[bytes], reserved: int) -> Moves:
    """Where each token of text leads from each state, [states, vocab]; DEAD for reserved tokens and such as hold no text."""
    lengths = np.array([len(content) if number >= reserved else 0 for number, content in enumerate(contents)])
    to = np.tile(np.arange(len(machine.moves), dtype=np.int32)[:, None], (1, len(contents)))
    to[:, lengths == 0] = DEAD
    for position in range(int(lengths.max())):
        longer = np.flatnonzero(lengths > position)
        byte = np.array([contents[number][position] for number in longer])
        at = to[:, longer]
        to[:, longer] = np.where(at == DEAD, DEAD, machine.moves[at, byte[None, :]])
    return to


def _pruned(moves: Moves, allowed: npt.NDArray[np.bool_]) -> Moves:
    """Forbid what leads to states from which no record can be ended, and encode.

    Raises:
        ParameterError: that is so from the start.
    """
    states = len(moves)
    source, token = np.nonzero(allowed)
    ends = token == NEWLINE_ID
    edges = np.unique(source[~ends].astype(np.int64) * states + moves[source[~ends], token[~ends]])
    source_of, target_of = edges // states, edges % states
    alive = np.zeros(states, np.bool_)
    alive[source[ends]] = True
    while True:
        more = np.unique(source_of[alive[target_of] & ~alive[source_of]])
        if not len(more):
            break
        alive[more] = True
    if not alive[0]:
        raise ParameterError(
            "LS115: no record can be written under the masks of field-aware decoding: a field's type needs characters that "
            "the model does not have. Give a schema that fits the training data, or generate with --no-field-aware.",
            code="LS115",
        )
    lives = alive[moves]
    lives[:, NEWLINE_ID] = True
    return np.where(allowed & lives, moves, ~moves).astype(np.int32)


def _machines(
    tokenizer: Tokenizer, types: Sequence[ByteAutomaton | None], learnt: Sequence[ByteAutomaton | None]
) -> list[ByteAutomaton]:
    """The texts of each field; equal ones are the same object."""
    delimiter = tokenizer.field_delimiter or ""
    inner, last = (field_text_automaton(delimiter, tokenizer.quoted, end) for end in (False, True))
    if not isinstance(tokenizer, CharTokenizer):  # bytes may be drawn one by one
        inner, last = both(inner, utf8_automaton()), both(last, utf8_automaton())
    known: dict[tuple[int, int, bool], ByteAutomaton] = {}
    machines = []
    for number, (kind, lean) in enumerate(zip(types, learnt, strict=True)):
        key = id(kind), id(lean), number + 1 == len(types)
        if key not in known:
            plain = last if key[2] else inner
            machine = plain if kind is None else both(plain, kind)
            known[key] = machine if lean is None else soft_intersect(machine, lean)
        machines.append(known[key])
    return machines


def _format(tokenizer: Tokenizer) -> FieldFormat:
    fields: FieldFormat = tokenizer.fields  # type: ignore[attr-defined]
    return fields


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """What each token writes, by id; nothing for the reserved ones."""
    reserved = _format(tokenizer).reserved
    if isinstance(tokenizer, ByteTokenizer | SentencePieceTokenizer):
        content = list(tokenizer.pieces)
    else:
        content = [tokenizer.decode_from_ids([i]).encode() for i in range(reserved, tokenizer.total_vocab_size)]
    return [*[b""] * reserved, *content]
