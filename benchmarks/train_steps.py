"""Times our plain and private steps at given shapes, in turns.

    python benchmarks/train_steps.py TRAIN WORK RESULT

Rows are full: no token is padding. Each precision that the CPU has is timed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.machine import flops_a_token, matmul_rate, seconds_a_call
from benchmarks.ours import Shapes
from linesmith import TensorFlowConfig
from model.cpu import matmul_precision
from pipelines.tokenize import tokenize

TIMES, BATCHES = (50, 64, 100, 256), (64, 256)
SECONDS = 5.0  # for the two steps of one shape


def main() -> None:
    source, work, result = sys.argv[1:]
    config = TensorFlowConfig(input_data_path=source, checkpoint_dir=work, vocab_size=0, overwrite=True)
    tokenize(config)
    found = []
    for precision in sorted({"float32", matmul_precision("auto")}):
        shapes = Shapes(config.replace(matmul_precision=precision), Path(work) / "steps")
        flops = flops_a_token(config.rnn_units, config.embedding_dim, config.rnn_layers, shapes.vocab, training=True)
        for time in TIMES:
            for batch in BATCHES:
                rate = matmul_rate(seconds=0.5)
                plain, private = seconds_a_call([shapes.plain(batch, time), shapes.private(batch, time)], SECONDS)
                rate = (rate + matmul_rate(seconds=0.5)) / 2
                found.append(
                    {
                        "precision": precision,
                        "time": time,
                        "batch": batch,
                        "plain_tokens_per_second": batch * time / plain,
                        "private_records_per_second": batch / private,
                        "private_vs_plain": private / plain,
                        "plain_vs_matmul_bound": batch * time / plain * flops / rate,
                    }
                )
    Path(result).write_text(json.dumps({"shapes": found}))


if __name__ == "__main__":
    main()
