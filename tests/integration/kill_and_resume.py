"""Kill -9 at random moments: a training that was killed ten times ends with the bytes of one that was not.

    python tests/integration/kill_and_resume.py [--kills 10] [--seed 0] [--only plain|private]

Plain training, and private training with the unsafe fixed key, each on a small corpus. Not part of the unit tests: it
starts a process for every kill. Compared are the weights' digest, the history and, of the private run, the statement.
Exits with 1 where anything differs.
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
    """Train by a settings file; says on standard output when it begins, when it steps and when it is done."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.model.training.loop import TrainingLoop
    from linesmith.pipelines.train.stage import train_model

    fit = TrainingLoop.fit

    def announced(loop: TrainingLoop) -> Any:
        print("steps", flush=True)
        return fit(loop)

    TrainingLoop.fit = announced  # type: ignore[method-assign]
    print("begins", flush=True)
    train_model(TensorFlowConfig(**json.loads(file.read_text("utf-8"))))
    print("done", flush=True)


class Run:
    """One training in a process of its own, killed or not."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--child", str(file)],
            stdout=subprocess.PIPE,
            stderr=open(file.with_suffix(".log"), "a"),  # noqa: SIM115  (the process holds it)
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
        raise RuntimeError(f"the process ended with {self._process.wait()} before it said '{word}'")

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def finish(self) -> None:
        self.wait_for("done")
        self._process.wait()

    def kill_after(self, seconds: float) -> bool:
        """Kill -9; False where it was done before that."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return True
        return False


def results(run: Path) -> dict[str, Any]:
    """What has to be the same."""
    from linesmith.core.artifacts.model_info import read_model_info

    statement = run / "model" / "privacy.json"
    checkpoints = json.loads((run / "model" / "manifest.json").read_text("utf-8"))["outputs"]
    return {
        "weights": read_model_info(run).weights_digest,
        "history": (run / "model_history.csv").read_text("utf-8"),
        "statement": json.loads(statement.read_text("utf-8")) if statement.is_file() else None,
        # Without the state of training itself, which says how long it took.
        "checkpoints": {name: digest for name, digest in checkpoints.items() if name != "last.npz"},
    }


def settings_file(directory: Path, name: str, tokenized: Path, settings: dict[str, Any]) -> Path:
    """A run directory with training data, and the settings of its training."""
    import shutil

    run = directory / name
    shutil.copytree(tokenized, run)
    file = directory / f"{name}.json"
    file.write_text(json.dumps({**settings, "checkpoint_dir": str(run)}), "utf-8")
    return file


def compare(directory: Path, kind: str, settings: dict[str, Any], kills: int, chance: random.Random) -> bool:
    """Train unbroken and broken, and print what came of it."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.pipelines.tokenize.stage import tokenize

    lines = directory / f"{kind}.txt"
    lines.write_text(
        "".join(f"{chance.randrange(24)},{chance.randrange(100):02d},{'xyz'[i % 3]}\n" for i in range(LINES))
    )
    tokenized = directory / f"{kind}-tokenized"
    settings = {**settings, "input_data_path": str(lines)}
    tokenize(TensorFlowConfig(**settings, checkpoint_dir=str(tokenized)))

    whole = Run(settings_file(directory, f"{kind}-unbroken", tokenized, settings))
    whole.wait_for("steps")
    start_up = whole.seconds()
    whole.finish()
    training = whole.seconds() - start_up

    file = settings_file(directory, f"{kind}-broken", tokenized, settings)
    killed = 0
    for _ in range(kills):
        # Anywhere from its first moment on; each may train for at most a share, so that all kills find it at work.
        killed += Run(file).kill_after(chance.uniform(0, start_up + training / kills))
    Run(file).finish()
    one, other = results(directory / f"{kind}-unbroken"), results(directory / f"{kind}-broken")
    differing = [name for name, value in one.items() if other[name] != value]
    print(
        f"{kind}: {training:.0f} s of training, killed {killed} times; "
        + (f"differs in {', '.join(differing)}" if differing else f"the same end, weights {one['weights'][:8]}…"),
        flush=True,
    )
    return not differing and killed == kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["plain", "private"])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if given.child is not None:
        child(given.child)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        right = [
            compare(Path(directory), kind, settings, given.kills, random.Random(given.seed))
            for kind, settings in (("plain", SETTINGS), ("private", {**SETTINGS, **PRIVATE}))
            if given.only in (None, kind)
        ]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
