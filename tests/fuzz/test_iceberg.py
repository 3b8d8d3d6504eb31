"""Fuzz the settings of an Iceberg catalog, and pyiceberg's own configuration file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest

from linesmith.records.output.iceberg_target import resolve_table_target
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated

PROPERTIES = [
    b"sqlite:///catalog.db\nwarehouse=file:///tmp/x\n",
    b"uri=https://user@example.com:8181/a?b=c\ntype=rest\ns3.endpoint=http://[::1]:9000\n",
    b"type=sql\nuri=postgresql+psycopg2://localhost/x\n",
]
CONFIG = b"""\
catalog:
  linesmith:
    type: sql
    uri: sqlite:///x.db
    py-io-impl: x
  other: {uri: http://x}
max-workers: 3
"""
PROPERTY_TOKENS = [b"://", b"=", b"[", b"password=x", b"%", b"@"]
CONFIG_TOKENS = [b"linesmith: ", b"catalog: ", b"- ", b"&a ", b"*a"]


def read(content: bytes) -> None:
    """Resolve a table with the properties before a NUL, and pyiceberg's configuration after it."""
    properties, _, config = content.partition(b"\0")
    settings = properties.decode("utf-8", "surrogateescape").splitlines()
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        (Path(home) / ".pyiceberg.yaml").write_bytes(config)
        patch.setenv("PYICEBERG_HOME", home)
        resolve_table_target("lake.rides", settings or None, Path(home))


def make(random: Random) -> bytes:
    """Return damaged properties or a damaged configuration."""
    if random.randint(0, 1):
        return mutated(random, PROPERTIES, PROPERTY_TOKENS).replace(b"\0", b"") + b"\0" + CONFIG
    return random.choice([b"", PROPERTIES[0]]) + b"\0" + mutated(random, [CONFIG], CONFIG_TOKENS)


TARGET = Target("iceberg", read)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.integration
def test_fuzz_iceberg() -> None:
    TARGET.fuzz(make, 60)
