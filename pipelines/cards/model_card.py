"""The model card: `RUN/model/README.md`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.core.artifacts.params import releasable_settings
from linesmith.core.config.setting_field import default_of
from linesmith.core.config.tensorflow_config import fields
from linesmith.pipelines.cards.claims import evaluation_parts, privacy_parts
from linesmith.pipelines.cards.markdown import bullets, card, plain, shown, table

_MOST_COLUMNS = 200  # that are named
_IN_OTHER_SECTIONS = ("columns", "checkpoint_dir", "show_samples", "tensorboard")


def model_card(
    info: ModelInfo,
    manifest: Mapping[str, Any],
    claim: Mapping[str, Any] | None,
    figures: Mapping[str, Any] | None,
    report: Path,
) -> str:
    """Return the card of a model. It depends on the arguments and the version of Linesmith only.

    Args:
        info: description of the model.
        manifest: `settings` and `counts` of the training, as its manifest has them.
        claim: the privacy statement; None: there is none.
        figures: content of the report; None: there is none that the card may quote.
        report: path of the report, for messages.
    """
    tags = ["linesmith", "synthetic-data", "tabular" if info.field_count else "text"]
    entries = {"library_name": "linesmith", "tags": [*tags, *(["differential-privacy"] if claim is not None else [])]}
    return card(
        entries,
        f"A model of {described_records(info.field_count, info.columns)}",
        [
            "It writes synthetic records in the format of the records that it was trained on. It was made with Linesmith "
            f"{metadata.version('linesmith')}.",
            "" if info.stopped is not None else "**Training is not finished**: this is the state after its last epoch.",
            "## Use",
            "```sh\nlinesmith generate --output RUN --num-lines 1000\n```",
            "RUN is the directory that holds `model/` and `tokenizer/`. An archive that `linesmith export` wrote is given as "
            "`--model ARCHIVE`.",
            *columns_parts(info.columns),
            "## Training",
            table(("what", "value"), [*_counts(manifest), *_network(info)]),
            *_settings_parts(manifest),
            *privacy_parts(claim, "model"),
            *evaluation_parts(figures, claim is not None, report),
            "## Limits",
            bullets(_limits(claim is not None)),
        ],
    )


def described_records(field_count: int | None, columns: list[str] | None) -> str:
    """Return 'records with 3 fields' or 'lines of text'."""
    count = len(columns) if columns is not None else field_count
    return (
        "lines of text"
        if count is None
        else "records with one field"
        if count == 1
        else f"records with {count:,} fields"
    )


def columns_parts(columns: list[str] | None) -> list[str]:
    """Return the names of the columns as a paragraph; nothing where they are unknown."""
    if not columns:
        return []
    more = f" and {len(columns) - _MOST_COLUMNS:,} more" if len(columns) > _MOST_COLUMNS else ""
    return [f"Columns: {', '.join(map(plain, columns[:_MOST_COLUMNS]))}{more}."]


def _counts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts = manifest.get("counts")
    return [(name, shown(value)) for name, value in counts.items()] if isinstance(counts, dict) else []


def _network(info: ModelInfo) -> list[tuple[str, str]]:
    layers = "one layer" if info.rnn_layers == 1 else f"{info.rnn_layers} layers"
    return [
        ("network", f"LSTM, {layers} of {info.rnn_units:,} units, embeddings of {info.embedding_dim:,}"),
        ("tokens in the vocabulary", shown(info.vocab_size)),
        ("sees which field it writes", shown(info.field_inputs is not None)),
        ("chooses among drafts by a discriminator", shown(info.discriminator is not None)),
        ("SHA-256 of the weights", info.weights_digest),
    ]


def _settings_parts(manifest: Mapping[str, Any]) -> list[str]:
    """Return the settings of training that are not defaults; never paths, names of data, or keys."""
    stored, known = manifest.get("settings"), fields()
    settings = releasable_settings(stored) if isinstance(stored, dict) else {}
    rows = [
        (name, repr(value) if isinstance(value, str) else shown(value))
        for name, value in settings.items()
        if name in known and name not in _IN_OTHER_SECTIONS and value != default_of(known[name])
    ]
    return ["Settings that are not defaults:", table(("setting", "value"), rows)] if rows else []


def _limits(private: bool) -> list[str]:
    texts = [
        "Each record is written on its own: what holds between records of the training data (order, uniqueness, references) is "
        "not learned.",
        "It repeats the training data's errors and biases, and is weaker on what is rare there.",
        "Its records describe nobody. Do not decide about single persons by them.",
    ]
    if not private:
        texts.append(
            "Generate and evaluate before you give it away: only its output was tested, not all that it could write."
        )
    return texts
