"""State of a block's rows between two products of the network: each row's request, its last token, the end of its record.

All but the look-up of start strings is compiled by XLA: TensorFlow needs more time to launch a small operation than to run
it, and a step has dozens of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from linesmith.model.sampling.draw import (
    PAD_MULTIPLE,
    draw_tokens,
    log_sum_of_exponentials,
    masked_weights,
    rounded,
    truncate,
    uniform,
)
from linesmith.model.sampling.request_table import (
    END_FLAG,
    PREFIX_LENGTH,
    PREFIX_OFFSET,
    REQUEST_NUMBER,
    STREAM_KEY,
    TOKEN_LIMIT,
    idle_requests,
)
from linesmith.model.sampling.sample_types import DrawSettings
from linesmith.records.fields import DELIMITER_ID


@dataclass(frozen=True)
class DrawMode:
    """What a call does to draw tokens. Each mode is a graph of its own; the numbers in `DrawParameters` are inputs of it.

    Attributes:
        greedy: take the likeliest token.
        truncated: draw from the likeliest tokens only.
        counts_chars: end records at a number of characters.
        prefixed: some records have a start string.
        scored: sum up the log probability of the ids of start strings.
    """

    greedy: bool
    truncated: bool
    counts_chars: bool
    prefixed: bool
    scored: bool = False

    @classmethod
    def from_settings(cls, settings: DrawSettings, prefixed: bool) -> DrawMode:
        """Return the mode that settings need.

        Args:
            settings: how tokens are drawn.
            prefixed: some records have a start string.
        """
        return cls(
            greedy=settings.temperature == 0,
            truncated=settings.top_k > 0 or settings.top_p < 1,
            counts_chars=settings.gen_chars > 0,
            prefixed=prefixed,
            scored=prefixed and settings.candidates > 1,
        )


class DrawParameters(NamedTuple):
    """The numbers of `DrawSettings` as scalar tensors.

    Attributes:
        inverse_temperature: one over the temperature; 1 in greedy mode.
        gen_chars: most characters of a record.
        top_k, top_p: as in `linesmith.model.sampling.draw.truncate`.
    """

    inverse_temperature: tf.Tensor
    gen_chars: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor

    @classmethod
    def from_settings(cls, settings: DrawSettings) -> DrawParameters:
        """Return the tensors of settings."""
        return cls(
            tf.constant(1.0 if settings.temperature == 0 else 1.0 / settings.temperature, tf.float32),
            tf.constant(settings.gen_chars, tf.int32),
            tf.constant(settings.top_k, tf.int32),
            tf.constant(settings.top_p, tf.float32),
        )


class RowState(NamedTuple):
    """What each row remembers beside the network's state, [R] each.

    Attributes:
        request: its line of the request table, [R, REQUEST_COLUMNS].
        done: its record has ended, or it has none.
        token: its last token; 0 before the first.
        step: how many tokens it has drawn.
        automaton_state: state of the masks' automaton.
        char_count: characters that its tokens began, where they are counted.
        acceptance_probability: ∏ Zₜ so far, with masks.
        prefix_position: how far its start string has come: at an id that is forced, or at a field that is drawn freely.
        prefix_log_probability: sum of the log probabilities of forced ids, where they are scored.
    """

    request: tf.Tensor
    done: tf.Tensor
    token: tf.Tensor
    step: tf.Tensor
    automaton_state: tf.Tensor
    char_count: tf.Tensor
    acceptance_probability: tf.Tensor
    prefix_position: tf.Tensor
    prefix_log_probability: tf.Tensor


def idle_rows(rows: int) -> RowState:
    """Return the state of rows that have no request."""
    zero = tf.zeros([rows], tf.int32)
    ones = tf.ones([rows])
    return RowState(
        tf.constant(idle_requests(rows)), tf.ones([rows], tf.bool), zero, zero, zero, zero, ones, zero, tf.zeros([rows])
    )


def assign_requests(taken: tf.Tensor, rows: RowState, table: tf.Tensor) -> tuple[tf.Tensor, RowState]:
    """Give each row that is done the next request of the table, in the order of rows.

    Args:
        taken: number of requests already taken from the table, scalar.
        rows: state of R rows, R a multiple of 16.
        table: from `linesmith.model.sampling.request_table.padded_table`; its last line is idle, so there is always a next one.

    Returns:
        How many requests are taken now, and the new state. Rows that have just begun are still marked `done`, until
        `TokenSampler.update`.
    """
    fresh, last = rows.done, table.shape[0] - 1
    # The rank of each fresh row among the fresh ones, in two levels: XLA's running sums cost the square of their length.
    ranks = tf.cumsum(tf.reshape(tf.cast(fresh, tf.int32), [-1, PAD_MULTIPLE]), axis=1)
    ranks += tf.cumsum(ranks[:, -1:], axis=0, exclusive=True)
    line = tf.clip_by_value(taken + tf.reshape(ranks, [-1]) - 1, 0, last)
    new = RowState(
        request=tf.where(fresh[:, None], tf.gather(table, line), rows.request),
        done=fresh,
        token=tf.where(fresh, 0, rows.token),
        step=tf.where(fresh, 0, rows.step),
        automaton_state=tf.where(fresh, 0, rows.automaton_state),
        char_count=tf.where(fresh, 0, rows.char_count),
        acceptance_probability=tf.where(fresh, 1.0, rows.acceptance_probability),
        prefix_position=tf.where(fresh, 0, rows.prefix_position),
        prefix_log_probability=tf.where(fresh, 0.0, rows.prefix_log_probability),
    )
    return tf.minimum(taken + ranks[-1, -1], last), new


def force_prefix(drawn: tf.Tensor, rows: RowState, prefixes: tf.Tensor, base: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Replace drawn tokens by those of start strings, where a row is still inside its start string.

    Args:
        drawn: token ids, [R].
        rows: state of the rows.
        prefixes: ids of all start strings, end to end, at least one.
        base: address of the first of them, scalar int64.

    Returns:
        Token ids, [R]; and where they were forced, bool, [R].
    """
    position = tf.cast(rows.prefix_position, tf.int64)
    inside = position < rows.request[:, PREFIX_LENGTH]
    # Rows outside a start string look up the first id, which `where` discards: an index must be valid in any case.
    given = tf.gather(prefixes, tf.where(inside, rows.request[:, PREFIX_OFFSET] + position - base, 0))
    forced = inside & (given >= 0)  # a negative one stands for a field that is drawn
    return tf.where(forced, given, drawn), forced


class TokenSampler:
    """Draws each row's token from its logits, and updates the row.

    Args:
        bias: bias of the logits, [V] with V a multiple of 16; −inf: never drawn.
        transitions: the masks' automaton, [S, V]: see `linesmith.model.sampling.network.SamplingNetwork`; None: no masks.
        chars: characters that each token begins, [V].
    """

    def __init__(self, bias: tf.Tensor, transitions: tf.Tensor | None, chars: tf.Tensor) -> None:
        self.bias, self.transitions, self.chars = bias, transitions, chars

    def draw(
        self, mode: DrawMode, parameters: DrawParameters, logits: tf.Tensor, rows: RowState
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Draw a token in each row.

        Args:
            mode: what is done.
            parameters: with which numbers.
            logits: without their bias, [R, V].
            rows: state of the rows.

        Returns:
            Token ids, [R]; and the share Zₜ of the probability that the masks left, [R], None without masks.
        """
        logits += self.bias
        allowed = None if self.transitions is None else tf.gather(self.transitions, rows.automaton_state) >= 0
        if mode.greedy:
            likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
            if allowed is None:
                return likeliest, None
            best = tf.argmax(tf.where(allowed, logits, -float("inf")), axis=1, output_type=tf.int32)
            return best, tf.cast(best == likeliest, tf.float32)
        weights, share = masked_weights(logits * parameters.inverse_temperature, allowed)
        if mode.truncated:
            weights = truncate(weights, parameters.top_k, parameters.top_p)
        return draw_tokens(weights, uniform(rows.request[:, STREAM_KEY], rows.step)), share

    def update(
        self,
        mode: DrawMode,
        parameters: DrawParameters,
        rows: RowState,
        token: tf.Tensor,
        forced: tf.Tensor | None,
        share: tf.Tensor | None,
        logits: tf.Tensor | None = None,
    ) -> tuple[RowState, tf.Tensor]:
        """Update the rows after a token.

        Args:
            mode: what is done.
            parameters: with which numbers.
            rows: state before the token.
            token: each row's token, [R].
            forced: where it came from a start string, [R]; None: nowhere.
            share: from `draw`.
            logits: as for `draw`, where forced tokens are scored.

        Returns:
            The new state; and the step's outputs, int32, [3 to 5, R]: token with `END_FLAG`, step, number of the request, with
            masks the bits of the acceptance probability, and where forced tokens are scored those of their log probability.
        """
        position, score = rows.prefix_position, rows.prefix_log_probability
        if forced is not None:
            # The end of a field that was drawn freely takes the row on as well.
            position += tf.cast(forced | (token <= DELIMITER_ID), tf.int32)
        if mode.scored and forced is not None and logits is not None:
            score += tf.where(forced, self._log_probability(parameters, logits, token), 0.0)
        probability, state, char_count = rows.acceptance_probability, rows.automaton_state, rows.char_count
        if share is not None:
            probability *= share if forced is None else tf.where(forced, 1.0, share)
            move = tf.gather_nd(self.transitions, tf.stack([state, token], axis=1))
            state = tf.where(move < 0, ~move, move)  # ~: the mask forbids the token, but a start string may hold it
        ended = (token == 0) | (tf.cast(rows.step, tf.int64) + 1 >= rows.request[:, TOKEN_LIMIT])
        if mode.counts_chars:
            char_count += tf.gather(self.chars, token)
            ended |= char_count > parameters.gen_chars
        number = tf.cast(rows.request[:, REQUEST_NUMBER], tf.int32)
        outputs = [tf.where(ended, token + END_FLAG, token), rows.step, number]
        if share is not None:
            outputs.append(tf.bitcast(probability, tf.int32))
        if mode.scored:
            outputs.append(tf.bitcast(score, tf.int32))
        done = ended | (number < 0)
        after = RowState(rows.request, done, token, rows.step + 1, state, char_count, probability, position, score)
        return after, tf.stack(outputs)

    def _log_probability(self, parameters: DrawParameters, logits: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """Return the log probability of each row's token without masks, [R]; 0 for a token that is never drawn."""
        scaled = rounded((logits + self.bias) * parameters.inverse_temperature)
        found = tf.gather(scaled, token, batch_dims=1) - log_sum_of_exponentials(scaled)
        return tf.where(tf.math.is_finite(found), found, 0.0)
