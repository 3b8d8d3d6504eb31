"""Write the cards of a run: when a model or records are complete, and again when a report was made or is no longer theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import reading, write_bytes, write_json
from linesmith.core.artifacts.manifest import MANIFEST, read_manifest
from linesmith.core.artifacts.model_info import CARD_FILE, MODEL_FILE, read_model_info
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shapes import ManifestShape
from linesmith.pipelines.cards.claims import read_claim, read_figures
from linesmith.pipelines.cards.croissant import croissant
from linesmith.pipelines.cards.dataset_card import dataset_card
from linesmith.pipelines.cards.model_card import model_card

CROISSANT = "croissant.json"
_NEEDED = {"outputs", "types", "counts", "model"}  # of a manifest of records


def write_model_card(run: RunDirectory, manifest: Mapping[str, Any]) -> None:
    """Write `README.md` beside a model whose description and, with differential privacy, statement are there already.

    Args:
        run: the run directory, or the staged one.
        manifest: `settings` and `counts` of the training, as its manifest has them or will have them.
    """
    info = read_model_info(run.root)
    figures = read_figures(run, info.weights_digest)
    text = model_card(info, manifest, read_claim(run), figures, _report(run))
    _write(run.model / CARD_FILE, text)


def write_dataset_cards(run: RunDirectory, directory: Path, manifest: Mapping[str, Any], *, evaluated: bool) -> None:
    """Write `README.md` and `croissant.json` beside generated records.

    Args:
        run: the run directory, whose model made them.
        directory: of the records, which may be staged.
        manifest: that of the records.
        evaluated: whether the report in the run directory is of these records.
    """
    digest = manifest["model"]["weights_digest"]
    figures = read_figures(run, digest) if evaluated else None
    claim = read_claim(run) if manifest.get("private") else None
    _write(directory / CARD_FILE, dataset_card(manifest, claim, figures, _report(run)))
    write_json(directory / CROISSANT, croissant(manifest))


def refresh_cards(run: RunDirectory) -> None:
    """Write the cards of a run's model and records again, as the report there is now; what is not complete gets none.

    Args:
        run: the run directory.

    Raises:
        DataError: LS201, a manifest or the report is damaged.
    """
    refresh_model_card(run)
    records = read_manifest(run.synthetic, ManifestShape)
    if records is not None and records.keys() >= _NEEDED:  # the first edition wrote less
        with reading(run.synthetic / MANIFEST, "a manifest"):
            write_dataset_cards(run, run.synthetic, records, evaluated=True)


def refresh_model_card(run: RunDirectory) -> None:
    """Write the card of a run's model again, as the report there is now; a model that is not complete gets none.

    Args:
        run: the run directory.

    Raises:
        DataError: LS201, the manifest or the report is damaged.
    """
    # A link leads to the model of another run (`Model.evaluate` makes such runs), whose card this report is not for.
    model = None if run.model.is_symlink() else read_manifest(run.model, ManifestShape)
    if model is not None and (run.model / MODEL_FILE).is_file():
        write_model_card(run, model)


def _report(run: RunDirectory) -> Path:
    return run.root / "report" / "report.json"


def _write(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
