"""Columns that look like identifiers or personal data, of invented people."""

from __future__ import annotations

import random

import pytest

from linesmith.records.roles.personal_data import Finding, iban_is_valid, look_at_columns, luhn_is_valid


def roles(name: str, values: list[str]) -> str | None:
    found = look_at_columns([name], [[value] for value in values])
    return found[0].role if found else None


def luhn(digits: str) -> str:
    """Return digits with the check digit that makes them valid: an oracle that tries all ten."""
    return next(digits + str(check) for check in range(10) if sum(
        int(d) if n % 2 else sum(divmod(2 * int(d), 10)) for n, d in enumerate(reversed(digits))
    ) % 10 == (10 - check) % 10)  # fmt: skip


def test_checksums() -> None:
    source = random.Random(1)
    for _ in range(50):
        card = luhn("".join(source.choices("0123456789", k=15)))
        assert luhn_is_valid(card)
        assert not luhn_is_valid(card[:-1] + str((int(card[-1]) + 1) % 10))
    assert iban_is_valid("DE89370400440532013000") and not iban_is_valid("DE88370400440532013000")
    assert not iban_is_valid("12") and not iban_is_valid("")


def test_values_decide_where_they_have_a_form() -> None:
    source = random.Random(2)
    cards = [luhn("4" + "".join(source.choices("0123456789", k=14))) for _ in range(20)]
    numbers = ["4" + "".join(source.choices("0123456789", k=15)) for _ in range(200)]
    assert roles("x", [f"p{n}@mail.example" for n in range(9)]) == "fake:email"
    assert roles("x", cards) == "fake:credit_card_number"
    assert roles("x", numbers) == "key"  # as long, but a tenth of them passes the check by chance
    assert roles("x", [f"10.0.{n}.7" for n in range(9)]) == "fake:ipv4"
    assert roles("x", [f"+39 06 1234{n:04d}" for n in range(9)]) == "fake:phone_number"
    assert roles("x", [f"123-4{n}-6789" for n in range(9)]) == "fake:ssn"
    assert roles("x", [f"0f8fad5b-d9cb-469f-a165-7086728950{n:02x}" for n in range(40)]) == "key"
    assert roles("x", ["see a@b.example", *["nothing"] * 9]) == "drop"
    assert roles("x", [f"call +1-202-555-{n:04d} today" for n in range(9)]) == "drop"
    assert roles("x", ["GB82WEST12345698765432", "DE89370400440532013000"] * 5) == "fake:iban"


def test_identifiers_by_the_share_of_different_values() -> None:
    assert roles("x", [str(number) for number in range(100, 200)]) == "key"
    assert roles("x", [f"AB-{number}" for number in range(100, 200)]) == "key"
    assert roles("customer_id", [str(number % 60) for number in range(100)]) == "ref:FILE#COLUMN"


@pytest.mark.parametrize(
    "values",
    [
        [str(number % 7) for number in range(100)],
        [f"{number * 1.37:.2f}" for number in range(100)],
        [f"2024-01-{1 + number % 28:02d} 10:{number % 60:02d}" for number in range(100)],
        [f"{number // 60:02d}:{number % 60:02d}" for number in range(100)],
        [str(number * number * 13) for number in range(100)],  # measurements that happen to differ
        [""] * 100,
        ["a", "b"],
    ],
)
def test_other_columns_are_left_alone(values: list[str]) -> None:
    assert roles("x", values) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("userEmail", "fake:email"), ("E-Mail", "fake:email"), ("first_name", "fake:first_name"), ("SURNAME", "fake:last_name"),
        ("last name", "fake:last_name"), ("name", "fake:name"), ("customerName", "fake:name"), ("birth_date", "drop"),
        ("mobilePhone", "fake:phone_number"), ("street", "fake:street_address"), ("ip_address", "fake:ipv4"),
        ("ip", "fake:ipv4"), ("order_id", "key:PATTERN"), ("orderId", "key:PATTERN"), ("town", None), ("idle", None),
        ("valid", None), ("amount", None), ("password", "drop"),
    ],
)  # fmt: skip
def test_names_alone(name: str, role: str | None) -> None:
    found = look_at_columns([name], [], names_only=True)
    assert [finding.role for finding in found] == ([] if role is None else [role])


def test_a_finding_names_the_column_and_never_a_value() -> None:
    values = [f"p{n}@mail.example" for n in range(9)]
    text = str(look_at_columns(["contact"], [[value] for value in values])[0])
    assert text == "column 'contact' looks like e-mail addresses; --column-role contact=fake:email would fit"
    assert str(Finding("a", "b", "c")).count("'a'") == 1
