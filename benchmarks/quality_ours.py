"""Train and sample one of our models for `benchmarks.quality`, in its own process.

    python benchmarks/quality_ours.py SETTINGS SYNTHETIC RESULT

SETTINGS is a JSON file of `TensorFlowConfig` settings. `max_training_time_seconds` counts CPU seconds of the process divided by
the number of cores (`inside/cpu_clock.py`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.inside.cpu_clock import cpu_seconds_per_core
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.library_logging import quiet_libraries


def run(settings: dict[str, Any], synthetic: Path) -> dict[str, Any]:
    """Tokenize, train and generate; write the records to one file and return the figures."""
    from linesmith.model.training import loop as training_loop
    from linesmith.pipelines import workflow

    # The clock of the training loop is an argument with a default: changing the default sets it for every trainer here.
    training_loop.TrainingLoop.__init__.__kwdefaults__["clock"] = cpu_seconds_per_core  # type: ignore[index]
    config = TensorFlowConfig(**settings, report=False, tensorboard=False)
    reports = {report.stage: report for report in workflow.run(config)}
    root = Path(str(config.checkpoint_dir))
    parts = sorted((root / "synthetic").glob("part-*.txt"))
    synthetic.write_bytes(b"".join(part.read_bytes() for part in parts))
    lines = (root / "model_history.csv").read_text().splitlines()
    return {
        "settings": settings,
        "train": reports["train"].counts,
        "generate": reports["generate"].counts,
        "epochs": len(lines) - 1,
        "last_epoch": dict(zip(lines[0].split(","), lines[-1].split(","), strict=True)),
    }


def main() -> None:
    settings, synthetic, result = map(Path, sys.argv[1:])
    quiet_libraries()
    found = run(json.loads(settings.read_text()), synthetic)
    result.write_text(json.dumps(found, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
