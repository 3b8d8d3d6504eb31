"""Measure records that were asked for: 10,000 airports of five countries, and fields that were blanked and filled again.

    python -m benchmarks.conditions [--seconds 150] [--records 10000] [--directory DIR]

A model of 6,000 airports that is trained with `--condition-on country` generates one record for each row of a file of countries,
in shares like those of the table. Each country's records are compared with real ones of that country, beside held-out real ones:
the mean over the other fields of the Kolmogorov-Smirnov distance of numbers, or of the total variation of the number of words.
Then the countries of held-out records are blanked and filled 16 times each. The log-loss of the true value under the filled ones,
beside which the marginal distribution counts as one more draw, is compared with that under the marginal distribution alone.
Prints the figures and writes benchmarks/results/conditions.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy.stats import ks_2samp

from benchmarks.records import CHECKOUT
from linesmith.cli.commands.demo import airport_lines
from linesmith.core.hardware import environment

RESULTS = Path(__file__).parent / "results" / "conditions.json"
COLUMNS = ("name", "city", "country", "elevation", "latitude", "longitude")
NUMBERS = ("elevation", "latitude", "longitude")
COUNTRY = COLUMNS.index("country")
COUNTRIES = 5
TRAINING_RECORDS = 6_000
DRAWS = 16  # imputations of each blanked field
SHARE_BLANKED = 0.2
Record = Sequence[str]


def split_airports() -> tuple[list[Record], list[Record]]:
    """Return training records, and held-out ones: all other airports of the table."""
    records = [line.split("|") for line in airport_lines(1_000_000)]
    return records[:TRAINING_RECORDS], records[TRAINING_RECORDS:]


def train(directory: Path, records: Sequence[Record], seconds: int) -> Path:
    """Train a model that can be asked for a country; return its run directory."""
    lines, run = directory / "airports.txt", directory / "run"
    if not (run / "model" / "manifest.json").is_file():
        lines.write_text("".join("|".join(record) + "\n" for record in records))
        columns = [part for column in COLUMNS for part in ("--columns", column)]
        common = ["--output", str(run), "--field-delimiter", "|"]
        _linesmith(["tokenize", "--input", str(lines), *common, *columns, "--condition-on", "country"])
        _linesmith(["train", *common[:2], "--max-training-time-seconds", str(seconds)])
    return run


def generate_countries(directory: Path, run: Path, countries: Sequence[str]) -> list[Record]:
    """Generate a record for each country of a list, which is written as a file of partial records; return them in order."""
    wanted = directory / "wanted.csv"
    wanted.write_text("country\n" + "".join(f"{country}\n" for country in countries))
    _linesmith(["generate", "--output", str(run), "--where-file", str(wanted), "--overwrite"])
    return [line.split("|") for line in _generated_lines(run)]


def impute_countries(directory: Path, run: Path, blanked: Sequence[Record]) -> list[Counter[str]]:
    """Fill the blanked country of each record several times; return the counts of its filled values."""
    incomplete = directory / "incomplete.csv"
    with open(incomplete, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for record in blanked:
            writer.writerow([*record[:COUNTRY], "", *record[COUNTRY + 1 :]])
    _linesmith(
        ["generate", "--output", str(run), "--impute", str(incomplete), "--records-per-seed", str(DRAWS), "--overwrite"]
    )
    filled = [line.split("|")[COUNTRY] for line in _generated_lines(run)]
    return [Counter(filled[start : start + DRAWS]) for start in range(0, len(filled), DRAWS)]


def distances(some: Sequence[Record], others: Sequence[Record]) -> dict[str, float]:
    """Return the distance of each field but the country between two sets of records, 0 to 1."""
    found = {}
    for number, column in enumerate(COLUMNS):
        one, other = [record[number] for record in some], [record[number] for record in others]
        if column in NUMBERS:
            found[column] = float(ks_2samp(_numbers(one), _numbers(other)).statistic)
        elif column != "country":
            found[column] = _total_variation(_word_counts(one), _word_counts(other))
    return found


def _numbers(texts: Sequence[str]) -> list[float]:
    return [float(text) for text in texts if text]


def _word_counts(texts: Sequence[str]) -> Counter[int]:
    """Return how many texts have which number of words: names of places are mostly new ones."""
    return Counter(len(text.split()) for text in texts)


def _total_variation(one: Counter[int], other: Counter[int]) -> float:
    return sum(abs(one[key] / one.total() - other[key] / other.total()) for key in one | other) / 2


def log_loss(truth: Sequence[str], counts: Sequence[Counter[str]], values: Sequence[str]) -> float:
    """Return the mean of -ln p(true value), with half a count added for each value that can occur."""
    return fmean(
        -math.log((count[value] + 0.5) / (count.total() + 0.5 * len(values)))
        for value, count in zip(truth, counts, strict=True)
    )


def mixed_log_loss(truth: Sequence[str], counts: Sequence[Counter[str]], marginal: Counter[str]) -> float:
    """Return the mean of -ln p(true value), where the marginal distribution counts as one more draw of each record."""
    values = len(marginal)

    def probability(value: str, count: Counter[str]) -> float:
        prior = (marginal[value] + 0.5) / (marginal.total() + 0.5 * values)
        return (count[value] + prior) / (count.total() + 1)

    return fmean(-math.log(probability(value, count)) for value, count in zip(truth, counts, strict=True))


def measure_countries(
    directory: Path, run: Path, training: Sequence[Record], held_out: Sequence[Record], count: int
) -> Any:
    """Generate records of the most frequent countries and compare them with real ones, country by country."""
    frequency = Counter(record[COUNTRY] for record in training)
    chosen = [country for country, _ in frequency.most_common(COUNTRIES)]
    total = sum(frequency[country] for country in chosen)
    shares = {country: round(count * frequency[country] / total) for country in chosen}
    shares[chosen[0]] += count - sum(shares.values())
    wanted = [country for country in chosen for _ in range(shares[country])]
    made = generate_countries(directory, run, wanted)
    rows = []
    for country in chosen:
        real = [record for record in training if record[COUNTRY] == country]
        unseen = [record for record in held_out if record[COUNTRY] == country]
        ours = [record for record, asked in zip(made, wanted, strict=True) if asked == country]
        rows.append(
            {
                "country": country,
                "records": len(ours),
                "with their country": sum(record[COUNTRY] == country for record in ours),
                "real": len(real),
                "unseen": len(unseen),
                "distance": fmean(distances(real, ours).values()),
                "distance of unseen": fmean(distances(real, unseen).values()),
                "fields": distances(real, ours),
                "fields of unseen": distances(real, unseen),
            }
        )
    return rows


def measure_imputation(directory: Path, run: Path, training: Sequence[Record], held_out: Sequence[Record]) -> Any:
    """Blank the country of a fifth of 5,000 unseen records, fill it, and compare log-losses with those of the marginals."""
    marginal = Counter(record[COUNTRY] for record in training)
    # A country that never occurred in training can be learned by nobody, and a record with an unknown character is refused.
    characters = {character for record in training for character in "".join(record)}
    every_fifth = held_out[:5_000][:: round(1 / SHARE_BLANKED)]
    blanked = [
        record for record in every_fifth if record[COUNTRY] in marginal and characters.issuperset("".join(record))
    ]
    truth = [record[COUNTRY] for record in blanked]
    filled = impute_countries(directory, run, blanked)
    hits = sum(count.most_common(1)[0][0] == value for count, value in zip(filled, truth, strict=True))
    return {
        "blanked": len(blanked),
        "log-loss of imputation": mixed_log_loss(truth, filled, marginal),
        "log-loss of the marginals": log_loss(truth, [marginal] * len(truth), list(marginal)),
        "most frequent draw is right": hits / len(blanked),
        "most frequent country is right": fmean(value == marginal.most_common(1)[0][0] for value in truth),
    }


def _generated_lines(run: Path) -> list[str]:
    parts = sorted((run / "synthetic").glob("part-*.txt"))
    return [line for part in parts for line in part.read_text().splitlines()]


def _linesmith(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "linesmith", *arguments], cwd=CHECKOUT, check=True, capture_output=True)


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table("country", "records", "with their country", "mean distance", "of unseen real records")
    for row in result["countries"]:
        table.add_row(
            row["country"],
            f"{row['records']:,}",
            f"{row['with their country']:,}",
            f"{row['distance']:.3f}",
            f"{row['distance of unseen']:.3f}",
        )
    console.print(table)
    for name, value in result["imputation"].items():
        console.print(f"{name}: {value:,.3f}" if isinstance(value, float) else f"{name}: {value:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=150, help="longest time of training")
    parser.add_argument("--records", type=int, default=10_000, help="records of five countries")
    parser.add_argument("--directory", type=Path, help="keep the run here; one that is there is used")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = (options.directory or Path(scratch)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        training, held_out = split_airports()
        run = train(directory, training, options.seconds)
        result = {
            "machine": environment(),
            "countries": measure_countries(directory, run, training, held_out, options.records),
            "imputation": measure_imputation(directory, run, training, held_out),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    show(Console(), result)


if __name__ == "__main__":
    main()
