"""Tests of the public tables: the split into files, and what is read out of a report."""

from __future__ import annotations

from pathlib import Path

from benchmarks import quality_tables, tables


def test_every_fifth_ride_is_held_out(tmp_path: Path) -> None:
    rides = tmp_path / "rides.txt"
    rides.write_text("".join(f"{number}, a, 1.5, 2.5, 1.5, 2.5\n" for number in range(6_000)))
    table = tables.public_table("rides", tmp_path / "out", rides)
    train, holdout = (file.read_text().splitlines() for file in (table.train, table.holdout))
    assert train[0] == holdout[0] == ",".join(table.columns)
    assert (table.records, len(train), len(holdout)) == (4_000, 4_001, 1_001)
    assert train[1:6] == [f"{number},a,1.5,2.5,1.5,2.5" for number in (0, 1, 2, 3, 5)]


def test_a_sample_does_not_depend_on_the_order_of_a_table() -> None:
    rows = [f"{number},NA,x  y" for number in range(50)]
    header = "a,b,c"
    _, columns, lines = tables._sample("\n".join([header, *rows, '1,"p,q",z', "", '2,"""",z']), 20)
    assert columns == ["a", "b", "c"] and len(lines) == 20
    assert set(lines) <= {f"{number},,x y" for number in range(50)}
    assert tables._sample("\n".join([header, *reversed(rows)]), 20)[2] == lines


def test_figures_of_a_report_stand_beside_those_of_unseen_records() -> None:
    parts = {
        "Kolmogorov-Smirnov": {"synthetic": 0.1, "holdout": 0.05},
        "Wasserstein": {"synthetic": 3.0, "holdout": 1.0},
        "Wasserstein in training spreads": {"synthetic": None, "holdout": 0.2},
    }
    body = {
        "scores": {"closeness": {"value": 0.9}},
        "closeness": {
            "components": [{"name": "fields", "score": 0.8, "reachable": 0.95}],
            "fields": [{"parts": parts}, {"parts": {"total variation": {"synthetic": 0.3, "holdout": 0.1}}}],
        },
        "safety": {"tests": [{"units": 10, "gap": 0.02, "leak": False}, {"units": 0, "gap": None, "leak": False}]},
    }
    found = quality_tables.figures(body)
    assert (found["closeness"], found["fields"], found["fields, unseen"], found["text"]) == (0.9, 0.8, 0.95, None)
    assert (found["Kolmogorov-Smirnov"], found["Kolmogorov-Smirnov, unseen"]) == (0.1, 0.05)
    assert found["Wasserstein in training spreads"] is None
    assert (found["largest gap"], found["leak"]) == (0.02, False)
