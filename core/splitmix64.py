"""SplitMix64: 64-bit integers whose bits look random, as a function of other 64-bit integers.

Samples of records, the order of training rows and the uniform numbers of generation depend on it: its bytes must not change.
The compiled kernel of sampling (model/sampling/kernel/draw.h) computes the same.
Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits64 = npt.NDArray[np.uint64]
INCREMENT = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio, made odd
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
SHIFTS = (30, 27, 31)
_WORD = (1 << 64) - 1


def mix64_word(word: int) -> int:
    """Return `mix64` of one word, which takes a tenth of the time of an array with one element.

    Args:
        word: any integer; it is taken modulo 2⁶⁴.

    Example:
        >>> hex(mix64_word(1))
        '0x5692161d100b05e5'
    """
    word &= _WORD
    word = (word ^ (word >> SHIFTS[0])) * MULTIPLIERS[0] & _WORD
    word = (word ^ (word >> SHIFTS[1])) * MULTIPLIERS[1] & _WORD
    return word ^ (word >> SHIFTS[2])


def mix64(bits: Bits64) -> Bits64:
    """Return SplitMix64's finalizer of each word: a bijection in which each input bit changes half of the output bits.

    Args:
        bits: 64-bit words of any shape; not changed. Arithmetic is modulo 2⁶⁴, about which NumPy warns for scalars only.

    Returns:
        Words of the same shape.

    Example:
        >>> [hex(word) for word in mix64(np.array([0, 1], np.uint64)).tolist()]
        ['0x0', '0x5692161d100b05e5']
    """
    first, second, third = (np.uint64(shift) for shift in SHIFTS)
    mixed = bits ^ (bits >> first)
    mixed *= np.uint64(MULTIPLIERS[0])
    mixed ^= mixed >> second
    mixed *= np.uint64(MULTIPLIERS[1])
    mixed ^= mixed >> third
    return mixed
