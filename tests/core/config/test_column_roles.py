"""Roles of columns as settings, and providers of Faker."""

from __future__ import annotations

import sys
import types

import pytest

from linesmith.core.config import fake_providers, preflight
from linesmith.core.config.column_roles import ColumnRole, parse_column_roles, parse_role, without_references
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

CSV = {"field_delimiter": ",", "columns": ["id", "town", "mail"]}


def config(roles: object, **settings: object) -> TensorFlowConfig:
    return TensorFlowConfig(**{**CSV, "column_role": roles, **settings})


def test_text_mapping_and_several_flags_say_the_same() -> None:
    expected = {"id": "key", "mail": "constant:a,b"}
    for given in ('id=key,"mail=constant:a,b"', ["id=key", '"mail=constant:a,b"'], expected):
        assert config(given, quoted=True).column_role == expected
    assert config("id=key,mail=drop,town=learn").learned_columns == ["town"]
    assert config(None).learned_columns == ["id", "town", "mail"]
    assert TensorFlowConfig().learned_columns is None


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("drop", ColumnRole("drop")), ("key", ColumnRole("key")), ("key:1..9", ColumnRole("key", "1..9")),
        ("fake:email", ColumnRole("fake", "email")), ("constant::", ColumnRole("constant", ":")),
        ("ref:/a#b/c.csv#id", ColumnRole("ref", "/a#b/c.csv", "id")), ("ref", ColumnRole("ref")),
        ("ref:c.csv#id:weighted", ColumnRole("ref", "c.csv", "id", True)),
    ],
)  # fmt: skip
def test_roles(text: str, role: ColumnRole) -> None:
    assert parse_role(text) == role


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("nope=key", "'nope', which is not one of"), ("id=key,id=drop", "'id' twice"), ("id=", "'id' has no role"),
        ("id", "COLUMN=ROLE"), ("=key", "names no column"), ("mail=fake", "without a provider"),
        ("mail=fake:", "nothing after"),
        ("mail=constant", "without a value"), ("mail=constant:", "nothing after"), ("id=keys", "the roles are"),
        ("id=drop:x", "takes nothing"), ("id=key:\\", "backslash"), ("id=ref:x", "ref:FILE#COLUMN"), ({"id": 7}, "the roles are"),
        ({"id": None}, "must have a role as text"), ({}, "names no column"), ("mail=constant:a", None),
        ("id=ref:#a", "ref:FILE#"),
        ("id=key,town=drop,mail=drop", "no column to learn"), ({"mail": "constant:a,b"}, "the delimiter"),
        ({"mail": "constant:a\nb"}, "line end"),
    ],
)  # fmt: skip
def test_bad_roles_are_one_paragraph(given: object, found: str | None) -> None:
    if found is None:
        config(given)
        return
    with pytest.raises(ParameterError, match=f"LS101.*{found}") as raised:
        config(given)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"field_delimiter": None, "columns": None}, "field_delimiter"), ({"condition_on": ["id"]}, "condition_on names 'id'"),
        ({"schema_file": "x.avsc"}, "excludes schema_file"), ({"impute": "x.csv"}, "excludes impute"),
    ],
)  # fmt: skip
def test_settings_that_contradict_roles(settings: dict, found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        config("id=key", **settings)


@pytest.mark.parametrize(
    ("roles", "settings", "found"),
    [
        ("id=key", {"dp": True}, "LS301.*pattern of a key"), ("id=ref:c.csv#id", {"dp": True}, "LS301.*another file"),
        ("id=key:A0", {"dp": True, "avoid_source_keys": True}, "LS301.*avoid_source_keys|LS301.*avoid-source-keys"),
        ("id=key", {"columns": None}, "LS140.*no names"),
        ("id=key:A0", {"dp": True, "columns": None, "header": True}, "LS140.*not learned"),
    ],
)  # fmt: skip
def test_preflight(roles: str, settings: dict, found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        preflight.check(config(roles, **settings), "tokenize")


def test_paths_are_forgotten() -> None:
    assert without_references({"id": "key", "to": "ref:/x/c.csv#id:weighted"}) == {"id": "key", "to": "ref"}
    assert without_references(None) is None
    assert parse_column_roles(None) is None


def test_faker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faker", None)
    fake_providers._generator.cache_clear()
    with pytest.raises(ParameterError, match=r"LS106.*linesmith\[fake\]"):
        preflight.check(config("mail=fake:email"), "tokenize")


class _Provider:
    """Stand-in for a provider of Faker, where that is not installed."""

    __provider__ = "internet"

    def __init__(self, owner: _Generator) -> None:
        self._owner = owner

    def email(self) -> str:
        return f"person{self._owner.seed}@fake.example"

    def lines(self) -> str:
        return f"{self._owner.seed}\nx,y"

    def pairs(self) -> dict[str, int]:
        return {}

    def asks(self, what: str) -> str:
        return what


class _Generator:
    def __init__(self) -> None:
        self.seed = 0
        self.providers = [_Provider(self)]
        for name in ("email", "lines", "pairs", "asks"):
            setattr(self, name, getattr(self.providers[0], name))

    def get_providers(self) -> list[_Provider]:
        return self.providers

    def seed_instance(self, seed: int) -> None:
        self.seed = seed % 1000

    def set_formatter(self, name: str, value: object) -> None:
        setattr(self, name, value)


@pytest.fixture
def faker(monkeypatch: pytest.MonkeyPatch) -> None:
    class Factory:
        @staticmethod
        def create(locale: str | None) -> _Generator:
            if locale == "xx":
                raise AttributeError("Invalid configuration for faker locale")
            return _Generator()

    monkeypatch.setitem(sys.modules, "faker", types.SimpleNamespace(Factory=Factory, VERSION="0"))
    fake_providers._generator.cache_clear()
    yield
    fake_providers._generator.cache_clear()


@pytest.mark.usefixtures("faker")
def test_providers_are_checked_before_anything_is_read() -> None:
    preflight.check(config("mail=fake:email"), "tokenize")
    faults = {"email:xx": "no locale", "nope": "no provider 'nope'", "pairs": "not texts", "asks": "no provider"}
    for role, found in {**faults, "seed_instance": "no provider", "_owner": "no provider"}.items():
        with pytest.raises(ParameterError, match=f"LS140.*{found}"):
            preflight.check(config(f"mail=fake:{role}"), "tokenize")


@pytest.mark.usefixtures("faker")
def test_values_are_one_line_and_hold_no_delimiter_that_is_not_quoted() -> None:
    from linesmith.records.fields import FieldFormat
    from linesmith.records.roles.value_sources import FakeSource

    plain = FakeSource("m", "lines", "", 1, FieldFormat(",")).value(3)
    quoted = FakeSource("m", "lines", "", 1, FieldFormat(",", quoted=True)).value(3)
    assert quoted.endswith(", x,y") and plain.endswith("  x y") and "\n" not in quoted
    assert FakeSource("m", "email", "", 1, FieldFormat(",")).value(3) != FakeSource(
        "m", "email", "", 2, FieldFormat(",")
    ).value(3)


def test_real_providers() -> None:
    pytest.importorskip("faker")
    fake_providers._generator.cache_clear()
    for provider, locale in (("email", ""), ("name", "de_DE"), ("street_address", "it_IT")):
        fake_providers.check_fake(provider, locale, "option")
        assert fake_providers.fake_text(provider, locale, 5) == fake_providers.fake_text(provider, locale, 5)
    assert len({fake_providers.fake_text("email", "", number) for number in range(100)}) > 90
    for provider, locale in (("date_of_birth", ""), ("ssn", "sv_SE"), ("profile", ""), ("passport_dob", "")):
        with pytest.raises(ParameterError, match="depend on the day"):
            fake_providers.check_fake(provider, locale, "option")


@pytest.mark.parametrize("name", ["parquet", "csv", "jsonl", "avro", "iceberg"])
def test_files_with_types_name_their_columns_themselves(name: str) -> None:
    config = TensorFlowConfig(input_data_path="x", input_format=name, column_role="id=key")
    preflight.check_column_roles(config, reads_input=True)
    if name == "csv":
        with pytest.raises(ParameterError, match=r"^LS140.*the columns have no names"):
            preflight.check_column_roles(config.replace(header=False), reads_input=True)
