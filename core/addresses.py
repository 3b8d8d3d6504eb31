"""Addresses without their secrets: what is stored, shown or logged of an address never has its user, password or query.

A digest takes their place, so that two addresses that differ in a query only remain two inputs, and a run is resumed with the
address that it was begun with. The digest is slow to compute on purpose: a short password cannot be found by trying.
"""

from __future__ import annotations

import functools
import hashlib
import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# In a text, an address ends at white space or a quotation mark; what follows it there may be punctuation of the sentence.
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+")
_PUNCTUATION = ".,;:)]}"
_REDACTED = re.compile(r"[^?]*://[^@?#]*\?redacted=[0-9a-f]{16}")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[^:@]*)(:\d*)?")


def redact_address(address: str) -> str:
    """Return an address without user, password, query and fragment; a path, or an address without any of them, unchanged.

    In an address of http or https, a question mark begins the query. In any other it is a wildcard, as in `s3://lines/part-?.csv`,
    unless an equals sign follows.

    Args:
        address: an address, a path or a glob.

    Example:
        >>> redact_address("https://ann:secret@host/rides.csv?sig=abc")
        'https://host/rides.csv?redacted=de0ab320793de66e'
        >>> redact_address("https://host/rides.csv"), redact_address("s3://lines/part-?.csv"), redact_address("rides.csv")
        ('https://host/rides.csv', 's3://lines/part-?.csv', 'rides.csv')
    """
    found = _SCHEME.search(address)
    if found is None or _REDACTED.fullmatch(address):
        return address
    scheme, rest = address[: found.end()], address[found.end() :]
    location = re.split(r"[?#]", rest, maxsplit=1)[0] if found[0].lower().startswith("http") else _without_query(rest)
    authority, slash, path = location.partition("/")
    host = authority.rpartition("@")[2]
    if _HOST_AND_PORT.fullmatch(host) is None or (":" in authority and "@" in path and "@" not in authority):
        host = slash = path = (
            ""  # perhaps a password with a slash or a question mark in it: nothing of this can be shown
        )
    shown = scheme + host + slash + path
    return address if shown == address else f"{shown}?redacted={_digest(address[found.start() :])}"


def redact_text(text: str) -> str:
    """Return a text, such as a message, in which every address is redacted."""
    if "://" not in text:
        return text

    def redact(found: re.Match[str]) -> str:
        address = found[0].rstrip(_PUNCTUATION)
        return redact_address(address) + found[0][len(address) :]

    return _IN_TEXT.sub(redact, text)


def _without_query(rest: str) -> str:
    """Return what is before the query of an address in which a question mark may be a wildcard."""
    location, _, query = rest.partition("?")
    return location if "=" in query else rest


@functools.lru_cache(maxsize=1024)
def _digest(address: str) -> str:
    return hashlib.scrypt(
        address.encode("utf-8", "surrogatepass"), salt=b"linesmith", n=1 << 12, r=8, p=1, dklen=8
    ).hex()
