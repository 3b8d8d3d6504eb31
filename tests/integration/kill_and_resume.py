"""Kill trainings at random times: a training that was killed ten times gives the same bytes as one that was not.

    python tests/integration/kill_and_resume.py [--kills 10] [--seed 0] [--only plain|private]

Runs training without privacy, and private training with the unsafe fixed key, each on a small data set. Not part of the unit
tests: it starts a process for every kill. Compares the digest of the weights, the history and, for the private run, the
statement. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINES = 400
SETTINGS: dict[str, Any] = {
    "vocab_size": 0,
    "field_delimiter": ",",
    "embedding_dim": 16,
    "rnn_units": 32,
    "rnn_layers": 1,
    "batch_size": 16,
    "seq_length": 40,
    "epochs": 60,
    "early_stopping": False,
    "tensorboard": False,
    "save_all_checkpoints": True,
}
PRIVATE: dict[str, Any] = {"dp": True, "dp_batch_size": 16, "dp_delta": 1e-4, "dp_unsafe_fixed_key": "5eed"}


def child(file: Path) -> None:
    """Train with the settings of a file; print a line when the process begins, before the first step, and at the end."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.model.training.loop import TrainingLoop
    from linesmith.pipelines.train.stage import train_model

    fit = TrainingLoop.fit

    def announce_and_fit(loop: TrainingLoop) -> Any:
        print("steps", flush=True)
        return fit(loop)

    TrainingLoop.fit = announce_and_fit  # type: ignore[method-assign]
    print("begins", flush=True)
    train_model(TensorFlowConfig(**json.loads(file.read_text("utf-8"))))
    print("done", flush=True)


class Run:
    """A training in its own process."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--child", str(file)],
            stdout=subprocess.PIPE,
            stderr=open(file.with_suffix(".log"), "a"),  # noqa: SIM115  (the process uses it)
            text=True,
            cwd=ROOT,
        )
        self.wait_for("begins")
        self.began = time.monotonic()

    def wait_for(self, word: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        raise RuntimeError(f"the process ended with {self._process.wait()} before it printed '{word}'")

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def finish(self) -> None:
        self.wait_for("done")
        self._process.wait()

    def kill_after(self, seconds: float) -> bool:
        """Kill the process after some seconds; return False if it had ended before."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return True
        return False


def results(run: Path) -> dict[str, Any]:
    """Return everything that must be equal."""
    from linesmith.core.artifacts.model_info import read_model_info

    statement = run / "model" / "privacy.json"
    checkpoints = json.loads((run / "model" / "manifest.json").read_text("utf-8"))["outputs"]
    return {
        "weights": read_model_info(run).weights_digest,
        "history": (run / "model_history.csv").read_text("utf-8"),
        "statement": json.loads(statement.read_text("utf-8")) if statement.is_file() else None,
        # Without the training state, which contains the elapsed time.
        "checkpoints": {name: digest for name, digest in checkpoints.items() if name != "last.npz"},
    }


def settings_file(directory: Path, name: str, tokenized: Path, settings: dict[str, Any]) -> Path:
    """Create a run directory with training data; write the settings of its training to a file and return its path."""
    import shutil

    run = directory / name
    shutil.copytree(tokenized, run)
    file = directory / f"{name}.json"
    file.write_text(json.dumps({**settings, "checkpoint_dir": str(run)}), "utf-8")
    return file


def compare(directory: Path, kind: str, settings: dict[str, Any], kills: int, generator: random.Random) -> bool:
    """Train without and with kills, print the result, and return whether both are equal and all kills took effect."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.pipelines.tokenize.stage import tokenize

    lines = directory / f"{kind}.txt"
    lines.write_text(
        "".join(f"{generator.randrange(24)},{generator.randrange(100):02d},{'xyz'[i % 3]}\n" for i in range(LINES))
    )
    tokenized = directory / f"{kind}-tokenized"
    settings = {**settings, "input_data_path": str(lines)}
    tokenize(TensorFlowConfig(**settings, checkpoint_dir=str(tokenized)))

    uninterrupted = Run(settings_file(directory, f"{kind}-uninterrupted", tokenized, settings))
    uninterrupted.wait_for("steps")
    start_up = uninterrupted.seconds()
    uninterrupted.finish()
    training = uninterrupted.seconds() - start_up

    file = settings_file(directory, f"{kind}-killed", tokenized, settings)
    killed = 0
    for _ in range(kills):
        # At any time after its start; each process may train for at most a share, so that every kill interrupts training.
        killed += Run(file).kill_after(generator.uniform(0, start_up + training / kills))
    Run(file).finish()
    expected, found = results(directory / f"{kind}-uninterrupted"), results(directory / f"{kind}-killed")
    differing = [name for name, value in expected.items() if found[name] != value]
    print(
        f"{kind}: {training:.0f} s of training, killed {killed} times; "
        + (
            f"differs in {', '.join(differing)}"
            if differing
            else f"the same result, weights {expected['weights'][:8]}…"
        ),
        flush=True,
    )
    return not differing and killed == kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["plain", "private"])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.child is not None:
        child(options.child)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        equal = [
            compare(Path(directory), kind, settings, options.kills, random.Random(options.seed))
            for kind, settings in (("plain", SETTINGS), ("private", {**SETTINGS, **PRIVATE}))
            if options.only in (None, kind)
        ]
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
