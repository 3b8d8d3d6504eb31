"""What an earlier field's tokens tell about a field's: mutual information at equal offsets, from a sample of records.

At offset p of field f, T is the token that stands there, or the end of the field. An earlier field g shows X: its token at offset
p, and whether f so far equals the beginning of g. These are what a network that knows fields looks up. The information is
I(T; X) in nats, summed over offsets. Counts of few records look dependent, so what X of the record before in the sample tells is
taken off, and what remains must exceed four standard deviations of chance (2N·I is nearly χ²; Wilks 1938).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from linesmith.records.fields import DELIMITER_ID
from linesmith.records.input.record_sample import SAMPLED_OFFSETS

_OWN_CODES = 15  # the most frequent tokens of a field are told apart; the others are one
_OTHER, _END, _PAST = _OWN_CODES, _OWN_CODES + 1, _OWN_CODES + 2
_CODES = _OWN_CODES + 3
_MOST_PARENTS = 8
_LEAST_NATS = 0.01  # per record; less is chance
_FEWEST_RECORDS = 20
_DEVIATIONS = 4
_NO_TOKEN, _END_TOKEN = -2, -1

Tokens = npt.NDArray[np.int32]
Codes = npt.NDArray[np.uint8]


def informative_parents(records: Sequence[npt.NDArray[np.int32]]) -> list[list[int]]:
    """Return for each field the earlier fields that tell the most about it, the best first.

    Args:
        records: ids of text, and `DELIMITER_ID` between fields.

    Returns:
        At most 8 fields each; none that tells less than 0.01 nats about a record's field.
    """
    if len(records) < _FEWEST_RECORDS:
        return []
    tokens = _token_table(records)
    found = []
    for field, information in enumerate(_information(tokens)):
        # The nearest where two tell as much.
        order = sorted(range(field), key=lambda parent: (-round(float(information[parent]), 6), -parent))
        found.append([parent for parent in order if information[parent] >= _LEAST_NATS][:_MOST_PARENTS])
    return found


def _token_table(records: Sequence[npt.NDArray[np.int32]]) -> Tokens:
    """Return the token of each field at each offset, [F, offsets, N]: `_END_TOKEN` at its end, `_NO_TOKEN` after it."""
    count = max(int(np.count_nonzero(record == DELIMITER_ID)) for record in records) + 1
    table = np.full((count, SAMPLED_OFFSETS + 1, len(records)), _NO_TOKEN, np.int32)
    for number, record in enumerate(records):
        is_break = record == DELIMITER_ID
        field, position = np.cumsum(is_break), np.arange(len(record))
        offset = position - np.maximum.accumulate(np.where(is_break, position, -1)) - 1
        table[field[~is_break], offset[~is_break], number] = record[~is_break]
        ends = np.bincount(field[~is_break], minlength=int(field[-1]) + 1 if len(field) else 1)
        table[np.arange(len(ends)), ends, number] = _END_TOKEN
    return table[:, :SAMPLED_OFFSETS]


def _information(tokens: Tokens) -> list[npt.NDArray[np.float64]]:
    """Return for each field the nats per record that each earlier field tells about it; 0 for what may be chance."""
    codes = np.stack([_codes_of(field) for field in tokens])
    found = []
    for field in range(len(tokens)):
        told, freedom = np.zeros(field), np.zeros(field)
        equal = np.ones((field, tokens.shape[2]), np.bool_)  # to the beginning of each earlier field
        for offset in range(tokens.shape[1] if field else 0):
            written = tokens[field, offset] != _NO_TOKEN
            if np.count_nonzero(written) < _FEWEST_RECORDS:
                break
            shown = codes[:field, offset][:, written] * np.uint8(2) + equal[:, written]
            more, degrees = _told(codes[field, offset][written], shown)
            told, freedom = told + more, freedom + degrees
            equal &= tokens[:field, offset] == tokens[field, offset]
        present = max(int(np.count_nonzero(tokens[field, 0] != _NO_TOKEN)), 1)
        # N·I has a variance of half its degrees of freedom, and so has what is taken off.
        found.append(np.where(told > _DEVIATIONS * np.sqrt(freedom), told, 0) / present)
    return found


def _codes_of(field: Tokens) -> Codes:
    """Return the codes of a field's tokens, [offsets, N]: numbers below `_CODES`."""
    ids, counts = np.unique(field[field >= 0], return_counts=True)
    own = ids[np.argsort(-counts, kind="stable")[:_OWN_CODES]]
    codes = np.full(field.shape, _OTHER, np.uint8)
    for code, token in enumerate(own.tolist()):
        codes[field == token] = code
    codes[field == _END_TOKEN], codes[field == _NO_TOKEN] = _END, _PAST
    return codes


def _told(written: Codes, shown: Codes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the nats that fields tell about all records beyond chance, and the degrees of freedom; [G] both.

    Args:
        written: codes of a field at an offset, [N].
        shown: codes below 2 `_CODES` of what each other field shows there, [G, N].
    """
    fields, count = shown.shape
    information = []
    for seen in (shown, np.roll(shown, 1, axis=1)):
        cells = (np.arange(fields)[:, None] * 2 * _CODES + seen) * _CODES + written
        joint = np.bincount(cells.ravel(), minlength=fields * 2 * _CODES * _CODES).reshape(fields, 2 * _CODES, _CODES)
        by_shown, by_written = joint.sum(axis=2), joint.sum(axis=1)
        information.append(_entropy(by_shown) + _entropy(by_written) - _entropy(joint.reshape(fields, -1)))
    degrees = (np.count_nonzero(by_shown, axis=1) - 1) * (np.count_nonzero(by_written, axis=1) - 1)
    return np.float64(count) * (information[0] - information[1]), degrees


def _entropy(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the entropy of each row of counts, in nats."""
    totals = counts.sum(axis=1)
    found: npt.NDArray[np.float64] = np.log(totals) - (counts * np.log(np.maximum(counts, 1))).sum(axis=1) / totals
    return found
