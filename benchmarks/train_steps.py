"""Time our plain and private steps at several shapes, alternating with a matmul that measures the machine.

    python benchmarks/train_steps.py TRAIN WORK SHAPES [DELIMITER COLUMNS] RESULT

SHAPES is `all`, or `goal` for the one shape whose figures have goals. Rows are full: no token is padding. Each precision that
is fast on the CPU is timed. With a delimiter and a number of columns, the network is the default one that knows fields.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from benchmarks.machine import MATMUL_FLOPS, flops_per_token, matmul, rounds
from benchmarks.ours import StepFactory
from benchmarks.train import OF_FIELDS, OF_GOALS, PLAIN
from linesmith import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.pipelines.tokenize.stage import tokenize

SHAPES = {"all": [(time, batch) for time in (50, 64, 100, 256) for batch in (64, 256)], "goal": [OF_GOALS]}
SECONDS = {"all": 5.0, "goal": 20.0}  # for the steps of one shape; exceeded if five rounds take longer


def main() -> None:
    source, work, which, *of_table, result = sys.argv[1:]
    config = TensorFlowConfig(input_data_path=source, checkpoint_dir=work, vocab_size=0, overwrite=True)
    if of_table:
        delimiter, count = of_table
        config = config.replace(field_delimiter=delimiter, columns=[f"field_{i}" for i in range(int(count))])
    tokenize(config)
    results = []
    for precision in sorted({"float32", matmul_precision("auto")}):
        shapes = StepFactory(config.replace(matmul_precision=precision), Path(work) / "steps")
        flops = flops_per_token(config.rnn_units, config.embedding_dim, config.rnn_layers, shapes.vocab, training=True)
        for time, batch in SHAPES[which]:
            times = rounds([shapes.plain(batch, time), shapes.private(batch, time), matmul()], SECONDS[which])
            needed = batch * time * flops / MATMUL_FLOPS  # in matmuls of the benchmark's size
            plain, private, product = (median(one) for one in zip(*times, strict=True))
            results.append(
                {
                    "network": OF_FIELDS if of_table else PLAIN,
                    "precision": precision,
                    "time": time,
                    "batch": batch,
                    "plain_tokens_per_second": batch * time / plain,
                    "private_records_per_second": batch / private,
                    "private_vs_plain": median(private / plain for plain, private, _ in times),
                    "plain_vs_matmul_bound": median(needed * product / plain for plain, _, product in times),
                    "matmul": MATMUL_FLOPS / product,
                }
            )
    Path(result).write_text(json.dumps({"shapes": results}))


if __name__ == "__main__":
    main()
