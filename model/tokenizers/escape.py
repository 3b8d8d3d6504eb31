"""A bijection between all texts and texts without U+2581, which SentencePiece writes for a space and cannot decode."""

from __future__ import annotations

import re

from linesmith.core.errors import TokenizerError

SPACE_MARK = "\u2581"
ESCAPE = "\U0010fffd"  # a private-use character, very unlikely in text; escaped, too
# In this order when escaping: the escape character itself must go first.
ESCAPE_PAIRS = ((ESCAPE, ESCAPE + "1"), (SPACE_MARK, ESCAPE + "0"))
_CODES = {"0": SPACE_MARK, "1": ESCAPE}
_PAIR = re.compile(ESCAPE + "(.?)", re.DOTALL)


def escape(text: str) -> str:
    """Return the text without U+2581. `unescape(escape(text)) == text` for every text."""
    for plain, pair in ESCAPE_PAIRS:
        text = text.replace(plain, pair)
    return text


def unescape(text: str) -> str:
    """Return the text that was escaped.

    Args:
        text: what `escape` returned, or an arbitrary text.

    Returns:
        The original text.

    Raises:
        TokenizerError: an escape character is followed by something that `escape` never writes; code `escape`.
    """
    return _PAIR.sub(_plain, text) if ESCAPE in text else text


def _plain(match: re.Match[str]) -> str:
    try:
        return _CODES[match[1]]
    except KeyError:
        raise TokenizerError(
            "LS226", None, "an escape character stands alone", "Decode text that this tokenizer encoded."
        ) from None
