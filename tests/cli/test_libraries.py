"""Which optional packages Beam is loaded without, by what the command line says."""

from __future__ import annotations

import pytest

from linesmith.cli.libraries import _unused_packages


@pytest.mark.parametrize("words", [[], ["out", 100, None, "--workers", "2"], ["runner-up.txt", "/data/runners/a.csv"]])
def test_what_is_for_clouds_is_left_out_where_nothing_asks_for_it(words) -> None:
    assert {"google.cloud", "botocore", "pandas", "sklearn"} <= set(_unused_packages(words))


@pytest.mark.parametrize(
    "words", [["gs://bucket/run"], ["out", "--runner", "FlinkRunner"], ["--runner=DataflowRunner"], ["s3://b/x", 5]]
)
def test_an_address_or_a_runner_asks_for_all_of_beam(words) -> None:
    assert set(_unused_packages(words)) == {"matplotlib", "pymongo", "sklearn"}
