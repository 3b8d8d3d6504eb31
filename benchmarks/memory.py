"""Measure the anonymous memory of training on 10^5, 10^6 and 10^7 records: it must not grow with the data.

    .venv/bin/python benchmarks/memory.py [--seconds 60]

One shard of 10^5 lines is written in the format of tokenize and read 1, 10 and 100 times. Each training runs in its own
process; the anonymous resident memory (RssAnon) of the process and its children is sampled five times per second. File-backed
pages, which the system can drop, are not counted. Prints a table and writes benchmarks/results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

SHARD, VOCAB, LENGTH = 10**5, 64, 56
KINDS = [("plain", 10**5), ("plain", 10**6), ("plain", 10**7), ("private", 10**6)]
RESULTS = Path(__file__).parent / "results" / "memory.json"


def write_shard(path: Path) -> None:
    """Write records of about 56 characters with structure to learn: each token depends on the previous one."""
    import pyarrow as pa

    from linesmith.transforms.tfrecord_shards import TFRecordShardWriter

    random = np.random.default_rng(0)
    with TFRecordShardWriter(path) as shard:
        for _ in range(SHARD // 10_000):
            lengths = random.integers(LENGTH - 16, LENGTH + 17, 10_000)
            tokens = np.cumsum(random.integers(0, 4, lengths.sum())) % (VOCAB - 1) + 1
            ends = np.cumsum(lengths)
            tokens[ends - 1] = tokens[ends - lengths] = 0
            hashes = random.integers(-(2**63), 2**63 - 1, 10_000)
            batch = pa.record_batch({"record_hash": hashes, "num_chars": lengths - 2})
            shard.write(batch, tokens.astype(np.int64), lengths)


def child(shard: Path, work: Path, kind: str, records: int, seconds: int) -> None:
    """Build the token store, train, and print how long each took, as JSON."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.model.privacy.plan_from_config import plan_privacy
    from linesmith.model.training.loop import TrainingHooks
    from linesmith.model.training.settings import NetworkSettings, TrainingSettings
    from linesmith.model.training.token_store import build_token_store
    from linesmith.model.training.trainer import Trainer, build_model

    start = time.monotonic()
    store = build_token_store(
        [shard] * (records // SHARD), work / "train.tokens", vocab_size=VOCAB, expected_records=records
    )
    validation = build_token_store([], work / "validation.tokens", vocab_size=VOCAB, expected_records=0)
    built = time.monotonic()
    config = TensorFlowConfig(
        dp=kind == "private", dp_batch_size=256 if kind == "private" else None, dp_delta=1e-9, epochs=1
    )
    # Stopped from outside: private training has no time limit.
    hooks = TrainingHooks(stop_requested=lambda: time.monotonic() - built > seconds)
    files: dict[str, Any] = {"directory": work / "m", "history_path": work / "h.csv", "identity": {}, "hooks": hooks}
    settings = TrainingSettings.from_config(config)
    model = build_model(NetworkSettings.from_config(config), VOCAB)
    if kind == "private":
        from linesmith.model.privacy.trainer import PrivateTrainer

        state = PrivateTrainer(settings, model, store, plan_privacy(config, records), **files).fit()
    else:
        state = Trainer(settings, model, store, validation, **files).fit()
    facts = {"build_seconds": built - start, "train_seconds": time.monotonic() - built, "steps": state.total_steps}
    print(json.dumps(facts))


def anonymous_bytes(process: psutil.Process) -> int:
    """Return the anonymous resident memory (RssAnon) of a process and its descendants."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            lines = Path(f"/proc/{member.pid}/status").read_text().splitlines()
        except OSError:  # the process has just ended
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    return total


def measure(shard: Path, kind: str, records: int, seconds: int) -> dict[str, Any]:
    """Train in a child process; return its memory and what it printed."""
    with tempfile.TemporaryDirectory() as work:
        arguments = ["--child", str(shard), work, kind, str(records), "--seconds", str(seconds)]
        running = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
        process, samples = psutil.Process(running.pid), []
        while running.poll() is None:
            samples.append(anonymous_bytes(process))
            time.sleep(0.2)
        if running.returncode:
            raise RuntimeError(f"training on {records} records ended with {running.returncode}")
        assert running.stdout is not None
        facts = json.loads(running.stdout.read().splitlines()[-1])
        while_training = samples[-int(facts["train_seconds"] / 0.25) :]
        median = float(np.median(while_training))
        return {"kind": kind, "records": records, "median": median, "peak": max(samples), **facts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if options.child is not None:
        shard, work, kind, records = options.child
        child(Path(shard), Path(work), kind, int(records), options.seconds)
        return
    with tempfile.TemporaryDirectory() as directory:
        shard = Path(directory) / "train-00000.tfrecord.gz"
        write_shard(shard)
        rows = [measure(shard, kind, records, options.seconds) for kind, records in KINDS]
    table = Table("training", "records", "median MB", "peak MB", "store built in s", "steps")
    for row in rows:
        table.add_row(
            row["kind"], f"{row['records']:,}", f"{row['median'] / 1e6:.0f}", f"{row['peak'] / 1e6:.0f}",
            f"{row['build_seconds']:.1f}", f"{row['steps']:,}",
        )  # fmt: skip
    plain = [row for row in rows if row["kind"] == "plain"]
    ratios = {
        statistic: max(r[statistic] for r in plain) / min(r[statistic] for r in plain)
        for statistic in ("median", "peak")
    }
    console = Console()
    console.print(table)
    console.print(f"largest over smallest, plain: median {ratios['median']:.3f}, peak {ratios['peak']:.3f} (goal 1.10)")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"rows": rows, "ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
