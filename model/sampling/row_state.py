"""What becomes of a row of the block from one product of the network to the next: its request, its token, its end.

All but the look-up of start strings is fused by XLA. Small operations by themselves cost TensorFlow more than they take, and
there are dozens of them in a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from linesmith.model.sampling.draw import PAD_MULTIPLE, draw, truncate, uniform, weigh
from linesmith.model.sampling.request_table import END_FLAG, KEY, LENGTH, LIMIT, NUMBER, OFFSET, idle_requests

Tensor = Any


@dataclass(frozen=True)
class Rule:
    """How tokens are drawn in a call; each kind of rule is a graph of its own, the numbers are not."""

    greedy: bool
    truncated: bool
    counts_chars: bool
    prefixed: bool


class Limits(NamedTuple):
    """The numbers of a rule, scalars.

    Attributes:
        scale: one over the temperature.
        gen_chars: of a record.
        top_k, top_p: as in `linesmith.model.sampling.draw.truncate`.
    """

    scale: Tensor
    gen_chars: Tensor
    top_k: Tensor
    top_p: Tensor


class RowState(NamedTuple):
    """What a row remembers beside the network's state, [R] each.

    Attributes:
        slot: its request, [R, COLUMNS].
        done: its record has ended, or it has none.
        token: its last one; 0 before the first.
        step: how many it has drawn.
        place: state of the masks' automaton.
        chars: characters that its tokens began, where they are counted.
        survival: ∏ Zₜ, with masks.
    """

    slot: Tensor
    done: Tensor
    token: Tensor
    step: Tensor
    place: Tensor
    chars: Tensor
    survival: Tensor


def idle_rows(rows: int) -> RowState:
    """Of rows that have no request."""
    zero = tf.zeros([rows], tf.int32)
    return RowState(tf.constant(idle_requests(rows)), tf.ones([rows], tf.bool), zero, zero, zero, zero, tf.ones([rows]))


def assign_requests(taken: Tensor, marks: RowState, table: Tensor) -> tuple[Tensor, RowState]:
    """Give each row that is done the next request, which it begins anew. Idle ones are behind the real ones, so there is
    always one.

    Args:
        taken: requests of the table that are gone.
        marks: of a multiple of 16 rows.
        table: from `linesmith.model.sampling.request_table.table_of`.

    Returns:
        How many are gone now, and the marks. Those that are `done` are the fresh ones, until `end`.
    """
    fresh, last = marks.done, table.shape[0] - 1
    # In two levels: XLA's running sums take the square of what they run over.
    ranks = tf.cumsum(tf.reshape(tf.cast(fresh, tf.int32), [-1, PAD_MULTIPLE]), axis=1)
    ranks += tf.cumsum(ranks[:, -1:], axis=0, exclusive=True)
    at = tf.clip_by_value(taken + tf.reshape(ranks, [-1]) - 1, 0, last)
    slot = tf.where(fresh[:, None], tf.gather(table, at), marks.slot)
    token, step, place, chars = (tf.where(fresh, 0, part) for part in marks[2:6])
    survival = tf.where(fresh, 1.0, marks.survival)
    return tf.minimum(taken + ranks[-1, -1], last), RowState(slot, fresh, token, step, place, chars, survival)


def force(drawn: Tensor, marks: RowState, prefixes: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """The start string's token where there is one, and where that is."""
    position = tf.cast(marks.step, tf.int64)
    forced = position < marks.slot[:, LENGTH]
    at = tf.where(forced, marks.slot[:, OFFSET] + position - base, 0)
    return tf.where(forced, tf.gather(prefixes, at), drawn), forced


class TokenSampler:
    """From a row's logits to its token and what follows from that.

    Args:
        bias: of the logits, [V] with V a multiple of 16; −inf: never drawn.
        moves: the masks' automaton, [S, V]: see `linesmith.model.sampling.network.SamplingNetwork`; None: no masks.
        chars: characters that each token begins, [V].
    """

    def __init__(self, bias: Tensor, moves: Tensor | None, chars: Tensor) -> None:
        self.bias, self.moves, self.chars = bias, moves, chars

    def draw(self, rule: Rule, limits: Limits, logits: Tensor, marks: RowState) -> tuple[Tensor, Tensor | None]:
        """The token drawn in each row, and the share of the probability that the masks left (None without masks)."""
        logits += self.bias
        allowed = None if self.moves is None else tf.gather(self.moves, marks.place) >= 0
        if rule.greedy:
            likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
            if allowed is None:
                return likeliest, None
            best = tf.argmax(tf.where(allowed, logits, -float("inf")), axis=1, output_type=tf.int32)
            return best, tf.cast(best == likeliest, tf.float32)
        weights, share = weigh(logits * limits.scale, allowed)
        if rule.truncated:
            weights = truncate(weights, limits.top_k, limits.top_p)
        return draw(weights, uniform(marks.slot[:, KEY], marks.step)), share

    def end(
        self, rule: Rule, limits: Limits, marks: RowState, token: Tensor, forced: Tensor | None, share: Tensor | None
    ) -> tuple[RowState, Tensor]:
        """The marks after a token, and what is emitted: [token, step, owner], with masks also the bits of the survival, each
        a line of an int32 array."""
        survival, place, chars = marks.survival, marks.place, marks.chars
        if share is not None:
            survival *= share if forced is None else tf.where(forced, 1.0, share)
            move = tf.gather_nd(self.moves, tf.stack([place, token], axis=1))
            place = tf.where(move < 0, ~move, move)
        ended = (token == 0) | (tf.cast(marks.step, tf.int64) + 1 >= marks.slot[:, LIMIT])
        if rule.counts_chars:
            chars += tf.gather(self.chars, token)
            ended |= chars > limits.gen_chars
        owner = tf.cast(marks.slot[:, NUMBER], tf.int32)
        lines = [tf.where(ended, token + END_FLAG, token), marks.step, owner]
        if share is not None:
            lines.append(tf.bitcast(survival, tf.int32))
        done = ended | (owner < 0)
        return RowState(marks.slot, done, token, marks.step + 1, place, chars, survival), tf.stack(lines)
