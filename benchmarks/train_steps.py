"""Times our plain and private steps at given shapes, in turns with the machine's own product.

    python benchmarks/train_steps.py TRAIN WORK SHAPES RESULT

SHAPES are `all`, or `goal`: the one whose figures have goals, in a process of its own. Rows are full: no token is padding.
Each precision that the CPU has is timed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from benchmarks.machine import MATMUL_FLOPS, flops_a_token, matmul, rounds
from benchmarks.ours import Shapes
from linesmith import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.pipelines.tokenize.stage import tokenize

OF_GOALS = (100, 256)  # tokens of a row, rows
SHAPES = {"all": [(time, batch) for time in (50, 64, 100, 256) for batch in (64, 256)], "goal": [OF_GOALS]}
SECONDS = {"all": 5.0, "goal": 20.0}  # for the steps of one shape, more where five rounds take longer


def main() -> None:
    source, work, asked, result = sys.argv[1:]
    config = TensorFlowConfig(input_data_path=source, checkpoint_dir=work, vocab_size=0, overwrite=True)
    tokenize(config)
    found = []
    for precision in sorted({"float32", matmul_precision("auto")}):
        shapes = Shapes(config.replace(matmul_precision=precision), Path(work) / "steps")
        flops = flops_a_token(config.rnn_units, config.embedding_dim, config.rnn_layers, shapes.vocab, training=True)
        for time, batch in SHAPES[asked]:
            turns = rounds([shapes.plain(batch, time), shapes.private(batch, time), matmul()], SECONDS[asked])
            needed = batch * time * flops / MATMUL_FLOPS  # in products of the machine's own
            plain, private, product = (median(one) for one in zip(*turns, strict=True))
            found.append(
                {
                    "precision": precision,
                    "time": time,
                    "batch": batch,
                    "plain_tokens_per_second": batch * time / plain,
                    "private_records_per_second": batch / private,
                    "private_vs_plain": median(private / plain for plain, private, _ in turns),
                    "plain_vs_matmul_bound": median(needed * product / plain for plain, _, product in turns),
                    "matmul": MATMUL_FLOPS / product,
                }
            )
    Path(result).write_text(json.dumps({"shapes": found}))


if __name__ == "__main__":
    main()
