"""Judge which columns look like identifiers or personal data: by their names, and by the forms of a sample of their values.

What is found is a name, a word for what it looks like, and a role that would fit; never a value. It is advice and no proof: a
name in a free text is not found, and a column of measurements may look like one of numbers of accounts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

BY_NAME = "(by its name)"  # what a column looks like ends so where its values were not looked at
_MOST_OTHER = 0.5  # share of the values that need not have the form
_FEWEST = 5  # values, below which forms say nothing
_FEWEST_KEYS = 30
_DISTINCT = 0.99  # share of different values of a column of identifiers
_NAMED_DISTINCT = 0.5  # of a column that is named as one
_EMAIL = re.compile(r"[^\s@,;<>]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
_PHONE = re.compile(r"(?:\+|00|\(?0)[0-9](?:[ ()/.-]{0,2}[0-9]){6,13}")
_PHONE_INSIDE = re.compile(rf"(?<![\w.]){_PHONE.pattern}(?![\w.])")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CARD = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
_SSN = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?:[T ].*)?|[0-9]{1,2}:[0-9]{2}(?::[0-9.]+)?")
_CODE = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9_:/-]{2,63}")
_WHOLE = re.compile(r"[0-9]{1,20}")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


@dataclass(frozen=True)
class Finding:
    """A column that looks like an identifier or personal data.

    Attributes:
        column: its name.
        looks_like: what, in words.
        role: the role that would fit, as `--column-role` takes it.
    """

    column: str
    looks_like: str
    role: str

    def __str__(self) -> str:
        return f"column '{self.column}' looks like {self.looks_like}; --column-role {self.column}={self.role} would fit"


def _is_ip(text: str) -> bool:
    try:
        return bool(ip_address(text)) and ("." in text or ":" in text)
    except ValueError:
        return False


def luhn_is_valid(digits: str) -> bool:
    """Return whether the check digit of a card number is right (ISO/IEC 7812-1).

    Example:
        >>> luhn_is_valid("4539578763621486"), luhn_is_valid("4539578763621487")
        (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0


def iban_is_valid(text: str) -> bool:
    """Return whether the check digits of an IBAN are right (ISO 13616).

    Example:
        >>> iban_is_valid("GB82 WEST 1234 5698 7654 32"), iban_is_valid("GB83WEST12345698765432")
        (True, False)
    """
    plain = text.replace(" ", "")
    return _IBAN.fullmatch(plain) is not None and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    return _CARD.fullmatch(text) is not None and luhn_is_valid(re.sub("[ -]", "", text))


# Forms of values: what they are, a test, and the role. The first that most values have decides.
_FORMS: tuple[tuple[str, Callable[[str], object], str], ...] = (
    ("e-mail addresses", _EMAIL.fullmatch, "fake:email"),
    ("UUIDs", _UUID.fullmatch, "key"),
    ("IP addresses", _is_ip, "fake:ipv4"),
    ("account numbers (IBAN, by their check digits)", iban_is_valid, "fake:iban"),
    ("card numbers (by their check digit)", _is_card, "fake:credit_card_number"),
    ("social security numbers", _SSN.fullmatch, "fake:ssn"),
    ("telephone numbers", _PHONE.fullmatch, "fake:phone_number"),
)
# Words in names of columns, together and in order, and what such a column holds.
_NAMES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), what, role)
    for pattern, what, role in (
        (r"\b(e ?)?mails?\b", "e-mail addresses", "fake:email"),
        (r"\b(phone|telephone|mobile|cell|fax|telefon|handy)s?\b", "telephone numbers", "fake:phone_number"),
        (r"\b(first|given|fore) ?names?\b|\bvorname\b", "first names", "fake:first_name"),
        (r"\b(last|family|sur|maiden) ?names?\b|\bnachname\b", "family names", "fake:last_name"),
        (r"\b(full|customer|patient|person|contact|employee|client|holder) names?\b|^names?$", "names", "fake:name"),
        (r"\b(user|login|nick) ?names?\b|^login$", "user names", "fake:user_name"),
        (r"\bbirth|\bdob\b|\bgeburt", "dates of birth", "drop"),
        (r"\bip\b|\bip ?addr", "IP addresses", "fake:ipv4"),
        (r"\b(street|address|addr|strasse)\b", "addresses", "fake:street_address"),
        (r"\bssn\b|\bsocial security\b|\bnational id\b|\btax id\b", "social security numbers", "fake:ssn"),
        (r"\bpassport\b", "numbers of passports", "fake:passport_number"),
        (r"\biban\b", "account numbers", "fake:iban"),
        (r"\b(credit )?card (number|no|num)\b|\bcredit card\b", "card numbers", "fake:credit_card_number"),
        (r"\bpasswords?\b|\bsecret\b|\bapi key\b", "secrets", "drop"),
    )
)
_KEY_NAME = re.compile(r"\b(id|ids|uuid|guid|key|identifier)$|^id\b|\b(number|no|num|nr)$")


def look_at_columns(
    columns: Sequence[str], records: Sequence[Sequence[str]], names_only: bool = False
) -> list[Finding]:
    """Return the columns that look like identifiers or personal data, in order.

    Args:
        columns: names of the columns.
        records: fields of a sample of the records, each as many as there are columns.
        names_only: there is no sample, and only names are judged.

    Example:
        >>> [str(finding.looks_like) for finding in look_at_columns(["Mail", "size"], [["a@b.org", "7"]] * 9)]
        ['e-mail addresses']
        >>> look_at_columns(["userEmail"], [], names_only=True)[0].role
        'fake:email'
    """
    values: list[list[str]] = [[] for _ in columns]
    for record in records:
        for column, value in zip(values, record, strict=True):
            column.append(value.strip())
    found = (_look(name, [v for v in column if v], names_only) for name, column in zip(columns, values, strict=True))
    return [finding for finding in found if finding is not None]


def _look(name: str, values: list[str], names_only: bool) -> Finding | None:
    words = " ".join(_WORDS.findall(name)).lower()
    if not names_only and len(values) >= _FEWEST:
        for what, test, role in _FORMS:
            if sum(bool(test(value)) for value in values) > _MOST_OTHER * len(values):
                return Finding(name, what, role)
        if sum(_EMAIL.search(value) is not None for value in values) > 0.05 * len(values):
            return Finding(name, "texts with e-mail addresses", "drop")
        if sum(" " in value and _PHONE_INSIDE.search(value) is not None for value in values) > _MOST_OTHER * len(
            values
        ):
            return Finding(name, "texts with telephone numbers", "drop")
    named = next(((what, role) for pattern, what, role in _NAMES if pattern.search(words)), None)
    if named is not None:
        return Finding(name, f"{named[0]} {BY_NAME}", named[1])
    return _look_for_key(name, words, values, names_only)


def _look_for_key(name: str, words: str, values: list[str], names_only: bool) -> Finding | None:
    """Return the finding for a column of identifiers: by its name and the share of different values, or by values alone."""
    is_named = _KEY_NAME.search(words) is not None
    if names_only:
        return Finding(name, f"identifiers {BY_NAME}", "key:PATTERN") if is_named else None
    if not values:
        return None
    distinct = len(set(values)) / len(values)
    if is_named and distinct > _NAMED_DISTINCT:
        role = "key" if distinct == 1 else "ref:FILE#COLUMN"
        return Finding(name, f"identifiers (by its name, and {distinct:.0%} of its values are different)", role)
    if len(values) < _FEWEST_KEYS or distinct < _DISTINCT or any(map(_DATE.fullmatch, values[:_FEWEST_KEYS])):
        return None
    if all(map(_WHOLE.fullmatch, values)):
        numbers = {int(value) for value in values}
        # A run of numbers, or numbers as long as those of accounts, and not measurements that happen to differ.
        run = max(numbers) - min(numbers) < 2 * len(numbers)
        is_key = run or (min(map(len, values)) == max(map(len, values)) >= 6)
    else:
        is_key = all(map(_CODE.fullmatch, values)) and not any(map(_is_number, values))
    return Finding(name, f"identifiers ({distinct:.0%} of its values are different)", "key") if is_key else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
