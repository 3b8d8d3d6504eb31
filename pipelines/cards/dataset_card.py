"""The dataset card: `RUN/synthetic/README.md`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.shard_list import shard_totals
from linesmith.pipelines.cards.claims import evaluation_parts, privacy_parts
from linesmith.pipelines.cards.columns import columns_of
from linesmith.pipelines.cards.markdown import bullets, card, plain, shown, table
from linesmith.pipelines.cards.model_card import described_records

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip
_SETTINGS = ("gen_temp", "gen_top_k", "gen_top_p", "field_aware", "exact_distribution", "gen_chars")
_CONDITIONS = ("start_string", "start_strings_file", "where", "where_file", "balance", "impute")
_VIEWED = ("parquet", "jsonl", "csv", "txt")  # formats that the hub's viewer reads


def dataset_card(
    manifest: Mapping[str, Any], claim: Mapping[str, Any] | None, figures: Mapping[str, Any] | None, report: Path
) -> str:
    """Return the card of generated records. It depends on the arguments and the version of Linesmith only.

    Args:
        manifest: that of the output.
        claim: the privacy statement of the model; None: there is none.
        figures: content of the report; None: there is none that the card may quote.
        report: path of the report, for messages.
    """
    columns = columns_of(manifest)
    counts = manifest["counts"]
    names = None if [one.name for one in columns] == ["text"] else [one.name for one in columns]
    partial = (
        ""
        if manifest.get("complete", True)
        else f"**Partial**: {counts['records']:,} of {counts['requested']:,} records could be made."
    )
    return card(
        _front_matter(manifest, columns != [] and names is not None, claim is not None),
        f"Synthetic {described_records(None, names)}",
        [
            f"{counts['records']:,} synthetic records, written by a model that Linesmith {metadata.version('linesmith')} trained "
            "on real ones. None was copied from the real data, but one may equal a real one: by coincidence, or because the "
            "model learned it.",
            partial,
            "## Files",
            table(("files", "format", "records", "bytes"), _files(manifest)),
            "`manifest.json` holds the SHA-256 of each file, and `croissant.json` describes files and columns for programs.",
            "## Columns",
            table(
                ("column", "type", "may be empty"), [(one.name, one.described, shown(one.nullable)) for one in columns]
            ),
            *_roles_parts(manifest.get("column_roles", {})),
            "## How the records were made",
            table(("what", "value"), _made(manifest)),
            *privacy_parts(claim, "records"),
            *evaluation_parts(figures, bool(manifest.get("private")), report),
            "## Limits",
            bullets(_limits()),
        ],
    )


def _roles_parts(kinds: Mapping[str, str]) -> list[str]:
    """Return what the card says of columns that the model did not learn."""
    if not kinds:
        return []
    said = (
        "The model did not learn these columns of its source; what stands in them is made up, or nothing is (`drop`)."
    )
    return [said, table(("column", "role"), list(kinds.items()))]


def pattern_of(suffix: str, manifest: Mapping[str, Any]) -> str:
    """Return the glob that matches an output's files of one suffix."""
    return f"{'**/' if manifest.get('partition_by') else ''}part-*.{suffix}"


def _front_matter(manifest: Mapping[str, Any], is_table: bool, private: bool) -> dict[str, Any]:
    records = manifest["counts"]["records"]
    size = next((word for limit, word in _SIZES if records < limit), "n>1B")
    suffixes = [suffix for suffix in _VIEWED if suffix in shard_totals(manifest)]
    # Named one by one: otherwise the hub would take manifest.json and croissant.json for records.
    configs = [
        {"config_name": suffix, "data_files": [{"split": "train", "path": pattern_of(suffix, manifest)}],
         **({"default": True} if suffix == suffixes[0] and len(suffixes) > 1 else {})}
        for suffix in suffixes
    ]  # fmt: skip
    tags = ["synthetic", "linesmith", "tabular" if is_table else "text"]
    return {
        "pretty_name": "Synthetic records",
        "size_categories": [size],
        "tags": [*tags, *(["differential-privacy"] if private else [])],
        "configs": configs,
    }


def _files(manifest: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for suffix, total in shard_totals(manifest).items():
        files = pattern_of(suffix, manifest)
        if total["files"] == 1:
            files = next((name for name in manifest["outputs"] if name.endswith(f".{suffix}")), files)
        rows.append((files, _FORMATS.get(suffix, suffix), shown(total["records"]), shown(total["bytes"])))
    return rows


_FORMATS = {"txt": "text, one record a line", "csv": "CSV", "jsonl": "JSON Lines", "avro": "Avro", "parquet": "Parquet"}


def _made(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts, settings, model = manifest["counts"], manifest.get("settings", {}), manifest.get("model", {})
    rows = [("records requested", shown(counts["requested"])), ("attempts", shown(counts["attempts"]))]
    if counts.get("valid_rate") is not None:
        rows.append(("share of attempts that were valid", f"{counts['valid_rate']:.1%}"))
    rows += [(name, shown(settings[name])) for name in _SETTINGS if settings.get(name) is not None]
    asked = [name for name in _CONDITIONS if settings.get(name)]
    if asked:  # their values may be those of real records
        rows.append(("records were asked for by", ", ".join(asked)))
    if manifest.get("partition_by"):
        rows.append(("a directory for each value of", str(manifest["partition_by"])))
    rows += [
        ("checked by a validator of the user", shown(manifest.get("validator") is not None)),
        ("seed", str(manifest.get("seed"))),
        ("SHA-256 of the model's weights", str(model.get("weights_digest"))),
    ]
    return rows


def _limits() -> list[str]:
    return [
        "The records are independent of one another: order, uniqueness and references between records are not kept.",
        "Errors and biases of the real data are repeated, and what is rare there may be missing or distorted.",
        "The records describe nobody. Do not decide about single persons by them.",
        plain(
            "Whether you may publish them depends on the real data, too: add a license to the first lines of this file."
        ),
    ]
