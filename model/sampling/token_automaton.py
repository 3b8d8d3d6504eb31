"""Compile the texts that each field may hold to an automaton over tokens, which decides which token may come next.

Guarantees for a record that the model ends: the exact number of fields; no delimiter inside a field except in quotes; column
markers where they belong; complete UTF-8 sequences; in each field only tokens seen there in training, numbers within the
limits seen there, no empty text where there was none, and times where all texts were times (after private training what
is usual in the model's own records instead); and, with a schema or with typed output, whose types training inferred,
a text of the field's type.

Masking is not rejection sampling: a text has probability ∏ p / ∏ Zₜ instead of ∏ p / P(valid), with Zₜ the share of
the probability that the mask leaves at step t. The mean of ∏ Zₜ is the rate at which the unmasked model would give valid
records; accepting a finished record with probability ∏ Zₜ restores its distribution exactly (`rejection_sampling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import ParameterError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.byte_table import ByteTableTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID
from linesmith.records.patterns.automaton import (
    DEAD,
    ByteAutomaton,
    field_text_automaton,
    in_optional_quotes,
    intersect,
    soft_intersect,
    utf8_automaton,
)

MAX_CELLS = 1 << 27  # states × tokens of int32: half a gibibyte
Transitions = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TokenAutomaton:
    """Which tokens may follow in each state.

    Attributes:
        transitions: [states, vocab] int32: the next state, or ~ of it where the token may not be drawn but a start string may
            hold it. The last state is a dead end. State 0 begins a record.
        field_starts: the state that begins each field, in the order of the model.
    """

    transitions: Transitions
    field_starts: tuple[int, ...] = (0,)

    def accepts_prefix(self, ids: Sequence[int]) -> bool:
        """Return whether a record may begin with these ids, which may include tokens not seen in training.

        Args:
            ids: as `SampleRequest.prefix`: a negative one stands for a field that is drawn freely.
        """
        state, field, dead_end = 0, 0, len(self.transitions) - 1
        for number in ids:
            field += number < 0 or number == DELIMITER_ID
            if number < 0:
                state = self.field_starts[field] if field < len(self.field_starts) else 0
                continue
            move = int(self.transitions[state, number])
            state = ~move if move < 0 else move
            if state == dead_end:
                return False
        return bool((self.transitions[state] >= 0).any())


def compile_automaton(
    tokenizer: Tokenizer,
    types: Sequence[ByteAutomaton | None],
    field_tokens: Sequence[Sequence[int]] | None = None,
    seen_texts: Sequence[ByteAutomaton | None] | None = None,
) -> TokenAutomaton:
    """Build the automaton of records whose number of fields is that of `types`.

    Args:
        tokenizer: has a field delimiter.
        types: texts that each field may hold, in the order of the model; None: any text.
        field_tokens: ids that may be drawn in each field; None: all.
        seen_texts: texts that may be drawn in each field; a start string may hold others, and then anything may follow. None:
            all.

    Raises:
        ParameterError: no record can be written: a field's type needs tokens that do not exist, or the tables are too large.
    """
    contents = bytes_per_token(tokenizer)
    fields = tokenizer.token_format
    machines = _machines(tokenizer, types, [None] * len(types) if seen_texts is None else seen_texts)
    starts, total = [], 0  # first state of each field, and number of states; the dead end comes after them
    for number, machine in enumerate(machines):
        starts.append(total)
        total += len(machine.transitions) + (number < fields.markers) + (number == 0 and tokenizer.drops_leading_space)
    if (total + 1) * len(contents) > MAX_CELLS:
        raise ParameterError(
            "LS125",
            None,
            f"field-aware decoding needs {total:,} states for {len(contents):,} tokens, more than fit in memory",
            "Give simpler types in the schema, or generate with --no-field-aware.",
        )
    transitions = np.full((total + 1, len(contents)), total, np.int32)
    allowed = np.zeros(transitions.shape, np.bool_)
    by_machine: dict[int, Transitions] = {}  # equal fields share a machine
    for number, machine in enumerate(machines):
        first = starts[number]
        if number < fields.markers:
            transitions[first, 2 + number], allowed[first, 2 + number] = first + 1, True
            first += 1  # the marker's state comes before those of the text
        dropped = [first] if number == 0 and tokenizer.drops_leading_space else []
        if dropped:  # so does the one in which a leading space is no text
            first += 1
            row = _moves_after_space(machine, contents, fields.reserved_count, first)
            transitions[dropped], allowed[dropped] = np.where(row == DEAD, total, row), row != DEAD
        states = slice(first, first + len(machine.transitions))
        if id(machine) not in by_machine:
            by_machine[id(machine)] = token_transitions(machine, contents, fields.reserved_count)
        target = by_machine[id(machine)]
        transitions[states] = np.where(target == DEAD, total, first + target)
        allowed[states] = target != DEAD
        if machine.unconstrained is not None:
            # Only a start string may leave the texts seen in training; after that everything of the type may follow.
            allowed[states] &= ~machine.unconstrained[target] | machine.unconstrained[:, None]
        if field_tokens is not None and number < len(field_tokens):
            seen = np.zeros(len(contents), np.bool_)
            seen[list(field_tokens[number])] = True
            allowed[states] &= seen
        ends = _states_where(machine.accepting, first, dropped)
        given_ends = ends if machine.given_ends is None else _states_where(machine.given_ends, first, dropped)
        if number + 1 < len(machines):
            transitions[given_ends, DELIMITER_ID], allowed[ends, DELIMITER_ID] = starts[number + 1], True
        else:
            transitions[given_ends, NEWLINE_ID], allowed[ends, NEWLINE_ID] = 0, True
            if len(machines) == 1:
                allowed[starts[0], NEWLINE_ID] = False  # an empty line is not a record
    allowed[:, list(tokenizer.never_sampled)] = False
    return TokenAutomaton(_pruned(transitions, allowed), tuple(starts))


def token_transitions(machine: ByteAutomaton, contents: Sequence[bytes], reserved: int) -> Transitions:
    """Compute the state that each token of text leads to from each state.

    Args:
        machine: an automaton over bytes.
        contents: bytes of each token, by id.
        reserved: number of reserved ids, which come first.

    Returns:
        [states, vocab]; DEAD for reserved tokens, for tokens without text, and where the automaton has no transition.
    """
    lengths = np.array([len(content) if number >= reserved else 0 for number, content in enumerate(contents)])
    target = np.tile(np.arange(len(machine.transitions), dtype=np.int32)[:, None], (1, len(contents)))
    target[:, lengths == 0] = DEAD
    for position in range(int(lengths.max())):
        longer = np.flatnonzero(lengths > position)
        byte = np.array([contents[number][position] for number in longer])
        state = target[:, longer]
        target[:, longer] = np.where(state == DEAD, DEAD, machine.transitions[state, byte[None, :]])
    return target


def _states_where(holds: npt.NDArray[np.bool_], first: int, dropped: list[int]) -> npt.NDArray[np.int64]:
    """Return the states of a field for which something holds, `dropped` where it holds for the state that begins its text."""
    return np.append(np.flatnonzero(holds) + first, dropped if holds[0] else []).astype(np.int64)


def _moves_after_space(machine: ByteAutomaton, contents: Sequence[bytes], reserved: int, first: int) -> Transitions:
    """Compute where each token leads at the start of a record whose leading space is not part of the text.

    Args:
        machine: of the first field's text; its first state is number `first`, and the start of the record is the one before.
        contents: bytes of each token, by id.
        reserved: number of reserved ids.
        first: see `machine`.

    Returns:
        [vocab]; a lone space leads back to the start, and a token that may not stand there to DEAD.
    """
    moves = token_transitions(machine, [content.removeprefix(b" ") for content in contents], reserved)[0]
    moves = np.where(moves == DEAD, DEAD, first + moves)
    moves[[content == b" " for content in contents]] = first - 1
    return moves.astype(np.int32)


def _pruned(transitions: Transitions, allowed: npt.NDArray[np.bool_]) -> Transitions:
    """Forbid tokens that lead to states from which no record can be ended, and encode the forbidden ones by ~.

    Raises:
        ParameterError: no record can be ended from the first state.
    """
    states = len(transitions)
    source, token = np.nonzero(allowed)
    ends = token == NEWLINE_ID
    edges = np.unique(transitions[source[~ends], token[~ends]].astype(np.int64) * states + source[~ends])
    source_of = edges % states
    first_edge = np.searchsorted(
        edges // states, np.arange(states + 1)
    )  # edges are sorted by the state that they lead to
    # A state is alive if a record can be ended from it: search backwards from the states in which <n> is allowed.
    alive = np.zeros(states, np.bool_)
    found = np.unique(source[ends])
    while len(found):
        alive[found] = True
        counts = first_edge[found + 1] - first_edge[found]
        positions = np.repeat(first_edge[found] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        found = np.unique(source_of[positions])
        found = found[~alive[found]]
    if not alive[0]:
        raise ParameterError(
            "LS115",
            None,
            "no record can be written under the masks of field-aware decoding: a field's type needs characters that "
            "the model does not have",
            "Give a schema that fits the training data, or generate with --no-field-aware.",
        )
    leads_on = alive[transitions]
    leads_on[:, NEWLINE_ID] = True
    return np.where(allowed & leads_on, transitions, ~transitions).astype(np.int32)


def _machines(
    tokenizer: Tokenizer, types: Sequence[ByteAutomaton | None], seen_texts: Sequence[ByteAutomaton | None]
) -> list[ByteAutomaton]:
    """Return the automaton of each field's texts; equal ones are the same object."""
    delimiter = tokenizer.field_delimiter or ""
    inner, last = (field_text_automaton(delimiter, tokenizer.quoted, end) for end in (False, True))
    if not isinstance(tokenizer, CharTokenizer):  # other tokenizers may draw a character byte by byte
        inner, last = intersect(inner, utf8_automaton()), intersect(last, utf8_automaton())
    known: dict[tuple[int, int, bool], ByteAutomaton] = {}
    machines = []
    order = tokenizer.token_format.order
    # No delimiter follows the field that stands last in the text, wherever the model writes it.
    last_field = len(types) - 1 if order is None else order.for_count(len(types)).index(len(types) - 1)
    for number, (field_type, seen) in enumerate(zip(types, seen_texts, strict=True)):
        key = id(field_type), id(seen), number == last_field
        if key not in known:
            plain = last if key[2] else inner
            machine = plain
            if field_type is not None:
                # The validator sees values without their quotes, and the model writes quotes where it has seen them.
                machine = intersect(plain, in_optional_quotes(field_type) if tokenizer.quoted else field_type)
            known[key] = machine if seen is None else soft_intersect(machine, seen)
        machines.append(known[key])
    return machines


def bytes_per_token(tokenizer: Tokenizer) -> list[bytes]:
    """Return the bytes of each token's text, by id; none for the reserved ones."""
    reserved = tokenizer.token_format.reserved_count
    if isinstance(tokenizer, ByteTableTokenizer):
        content = list(tokenizer.pieces)
    else:
        content = [tokenizer.decode_from_ids([i]).encode() for i in range(reserved, tokenizer.total_vocab_size)]
    return [*[b""] * reserved, *content]
