"""User, password and query of an address are left out of whatever is stored or shown."""

from __future__ import annotations

import json
import re

import pytest

from linesmith.core.addresses import redact_address, redact_text
from linesmith.core.artifacts.params import config_from_model_dir, save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError

DIGEST = r"\?redacted=[0-9a-f]{16}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:SECRET@host:8080/a/b.csv?sig=SECRET#SECRET", "https://host:8080/a/b.csv"),
        ("https://SECRET@host/b.csv", "https://host/b.csv"),
        ("HTTP://host?SECRET", "HTTP://host"),
        ("https://[::1]:80/b.csv?SECRET", "https://[::1]:80/b.csv"),
        ("https://ann:SEC/RET@host/b.csv", "https://"),
        ("https://ann:7/SECRET@host/b.csv", "https://"),
        ("https://ann:SEC?RET@host/b.csv", "https://"),
        ("s3://KEY:SEC/RET@bucket/b.csv", "s3://"),
        ("s3://KEY:SECRET@bucket/b.csv", "s3://bucket/b.csv"),
        ("gs://bucket/part-?.csv?X-Goog-Signature=SECRET", "gs://bucket/part-"),
        ("hdfs://ann@node:9000/b.csv?user.name=SECRET", "hdfs://node:9000/b.csv"),
        (" https://host/b.csv?SECRET", " https://host/b.csv"),
        ("jdbc:postgresql://ann:SECRET@host/db", "jdbc:postgresql://host/db"),
    ],
)
def test_what_is_secret_in_an_address_becomes_a_digest(address: str, shown: str) -> None:
    redacted = redact_address(address)
    assert re.fullmatch(re.escape(shown) + DIGEST, redacted)
    assert redact_address(redacted) == redacted
    assert (
        redact_text(f"--input '{address.strip()}': not found.")
        == f"--input '{redact_address(address.strip())}': not found."
    )


@pytest.mark.parametrize(
    "plain",
    ["rides.csv", "a?b=c.csv", "https://host/b.csv", "s3://bucket/part-?.csv", "gs://bucket/a@b.csv", "sqlite:///c.db"],
)
def test_what_holds_no_secret_stays(plain: str) -> None:
    assert redact_address(plain) == plain == redact_text(plain)


def test_addresses_that_differ_in_their_query_only_stay_different() -> None:
    one, other = (redact_address(f"https://host/export?table={name}") for name in "ab")
    assert one != other
    assert one == redact_address("https://host/export?table=a")


def test_no_error_repeats_a_secret() -> None:
    address = "https://ann:SECRET@host/b.csv?sig=SECRET"
    errors = [
        ParameterError("LS205", f"--input '{address}'", f"'{address}' is gone", f"See {address}."),
        DataError.from_message("LS205", f"LS205: {address}"),
    ]
    with pytest.raises(ParameterError) as unknown:
        TensorFlowConfig(input_path=address)
    for error in (*errors, unknown.value):
        assert "SECRET" not in str(error) and "https://host/b.csv?redacted=" in str(error)


def test_stored_settings_hold_no_secret_and_what_is_no_address_unchanged(tmp_path) -> None:
    start = "https://example.com/?page="
    config = TensorFlowConfig(
        checkpoint_dir=tmp_path,
        input_data_path=["https://ann:SECRET@host/b.csv", "https://host/c.csv?SECRET", "d.csv"],
        iceberg_table="a.b",
        iceberg_catalog=["uri=https://SECRET@host/", "type=rest"],
        start_string=start,
    )
    save_params(config, tmp_path)
    text = (tmp_path / "model_params.json").read_text()
    assert "SECRET" not in text
    stored = json.loads(text)
    assert [path.partition("?")[0] for path in stored["input_data_path"]] == [
        "https://host/b.csv",
        "https://host/c.csv",
        "d.csv",
    ]
    assert stored["iceberg_catalog"][1] == "type=rest"
    assert config_from_model_dir(tmp_path).start_string == start
