"""Models that gretel-synthetics trained (tests/fixtures/gretel), and its network as plain NumPy: the oracle of the import."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "gretel" / "gretel_models.tar.xz"
KINDS = ("characters", "sentencepiece")


def unpack(kind: str, directory: Path) -> Path:
    """Unpack one model, and return its folder."""
    with tarfile.open(FIXTURE) as packed:
        members = [member for member in packed.getmembers() if member.name.startswith(f"{kind}/")]
        packed.extractall(directory, members, filter="data")
    return directory / kind


def change_params(folder: Path, file: str = "model_params.json", **changes: Any) -> None:
    """Change entries of a JSON file of a model folder."""
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class OldNetwork:
    """Embedding → LSTM → LSTM → Dense, by the arrays of the checkpoint and the formulas of Keras.

    Args:
        folder: a model folder.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(folder))

        def array(name: str) -> np.ndarray:
            return reader.get_tensor(f"layer_with_weights-{name}/.ATTRIBUTES/VARIABLE_VALUE").astype(np.float64)

        self.embeddings = array("0/embeddings")
        self.cells = [[array(f"{n}/cell/{part}") for part in ("kernel", "recurrent_kernel", "bias")] for n in (1, 2)]
        self.kernel, self.bias = array("3/kernel"), array("3/bias")

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Return logits [B, T, V] of ids [B, T], from a zero state."""
        x = self.embeddings[ids]
        for kernel, recurrent, bias in self.cells:
            h = c = np.zeros((len(ids), len(recurrent)))
            steps = []
            for step in range(x.shape[1]):
                i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
                c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                h = _sigmoid(o) * np.tanh(c)
                steps.append(h)
            x = np.stack(steps, axis=1)
        return x @ self.kernel + self.bias

    def log_likelihoods(self, start: list[int], records: list[list[int]]) -> np.ndarray:
        """Return the log likelihood of each record's ids, its end included, in nats."""
        found = np.zeros(len(records))
        width = max(map(len, records))
        ids = np.array([record + [0] * (width - len(record)) for record in records])
        weights = np.array([[1.0] * len(record) + [0.0] * (width - len(record)) for record in records])
        inputs = np.concatenate([np.tile(start, (len(ids), 1)), ids[:, :-1]], axis=1)
        logits = self.logits(inputs)[:, len(start) - 1 :]
        logits -= logits.max(axis=2, keepdims=True)
        chosen = np.take_along_axis(logits, ids[:, :, None], axis=2)[:, :, 0]
        found = ((chosen - np.log(np.exp(logits).sum(axis=2))) * weights).sum(axis=1)
        return found


def old_encoder(folder: Path) -> Any:
    """Return a function from a record's text to the ids that gretel-synthetics gives it, its end included."""
    params = json.loads((folder / "model_params.json").read_text())
    if params["vocab_size"] == 0:
        from linesmith.pipelines.import_gretel.pickled_values import read_plain_pickle

        numbers = read_plain_pickle((folder / "char2idx.p").read_bytes())
        return lambda text: [numbers[character] for character in text + "\n"]
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "m.model"))
    return lambda text: processor.encode(text.replace(params["field_delimiter"], "<d>") + "<n>")


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
