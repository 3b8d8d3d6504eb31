"""`make test-audit`: the audit on twenty seeds of the correct trainer and on every planted bug; which look flags which.

    python -m tests.integration.audit_table [--seeds 20] [--first 0] [--no-bugs]

Ends with 1 where the lower bound exceeds the claim in more than three of the twenty seeds, where a look other than the text
audit calls the correct trainer wrong, or where a bug is not found. A few minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from linesmith.core.library_logging import quiet_libraries

NEEDED = 17  # of twenty seeds
EPSILON = 2.0


def setting(**changes):
    """A small private configuration."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig

    small = {
        "dp": True, "dp_target_epsilon": EPSILON, "dp_delta": 1e-5, "rnn_units": 16, "embedding_dim": 64, "rnn_layers": 1,
        "epochs": 8, "dp_batch_size": 128, "batch_size": 128, "seq_length": 12,
    }  # fmt: skip
    return TensorFlowConfig(**{**small, **changes})


def records(count: int) -> list[str]:
    from linesmith.cli.commands.demo import airport_lines

    return airport_lines(count)


def look_at_gradients(trainer, seed: int):
    """Canary gradients in a trainer, beside bytes of real records."""
    from linesmith.model.privacy.audit.gradient_canaries import audit_gradients
    from linesmith.model.privacy.validation import in_memory_token_store

    store = in_memory_token_store([[2 + byte for byte in line.encode()] for line in records(200)])
    return audit_gradients(setting(seed=seed), store, 258, canaries=1000, seed=seed, trainer=trainer)


def look_at_neighbours(trainer):
    """What one record moves; nothing of it follows a seed."""
    from linesmith.model.privacy.audit.neighbors import audit_neighbors

    return audit_neighbors(setting(rnn_layers=2), 258, trainer=trainer)


def look_at_text(seed: int, **changes):
    """The text audit of tokenize and train, on real records."""
    from linesmith.pipelines.audit.attacks import audit_text_canaries
    from linesmith.pipelines.audit.settings import AuditSettings

    config = setting(field_delimiter="|", seq_length=80, **{"dp_batch_size": None, "epochs": 4, **changes})
    with tempfile.TemporaryDirectory() as place:
        settings = AuditSettings(records=600, canaries=400, gradients=100, seed=seed, reference=False)
        return audit_text_canaries(config, records(600), Path(place) / "run", settings)


def seeds(console, first: int, count: int) -> list[str]:
    """The correct trainer; what failed."""
    from linesmith.model.privacy.trainer import PrivateTrainer

    failed, below = [], 0
    for seed in range(first, first + count):
        gradients = look_at_gradients(PrivateTrainer, seed)
        below += gradients.bound.epsilon <= gradients.epsilon
        failed += [f"the draws of the right trainer are called wrong with seed {seed}"] if gradients.draws else []
        found = _beside(gradients.bound.epsilon, gradients.epsilon)
        console.print(f"seed {seed}: {found}, draws {', '.join(gradients.draws) or 'as claimed'}", highlight=False)
    console.print(f"the lower bound is below the claim in {below} of {count} seeds (goal {NEEDED} of 20)")
    return [*failed, *(["the lower bound exceeds the claim too often"] if below < NEEDED / 20 * count else [])]


def bugs(console, wanted: list[str] | None) -> list[str]:
    """Every planted bug, or those whose names hold a word that is wanted; which were not found."""
    from linesmith.model.privacy.trainer import PrivateTrainer
    from tests.helpers.planted_bugs import BUGS

    failed = []
    table = Table("planted bug", "canary gradients", "draws", "neighbours", "text canaries", "flagged")
    for bug in BUGS:
        if wanted is not None and not any(word in bug.name for word in wanted):
            continue
        if bug.settings:
            proved = look_at_text(0, **dict(bug.settings))["bound"]["epsilon"]
            found, row = proved > EPSILON, ["", "", "", _beside(proved, EPSILON)]
        else:
            gradients, near = look_at_gradients(bug.trainer, 0), look_at_neighbours(bug.trainer)
            found = gradients.refuted or near.refuted
            shown = ", and what is shown" if near.released_moved > near.released_allowed else ""
            row = [
                _beside(gradients.bound.epsilon, gradients.epsilon),
                ", ".join(gradients.draws) or "as claimed",
                _beside(near.moved, near.clip, 4) + shown,
                "",
            ]
        table.add_row(bug.name, *row, "yes" if found else "NO")
        console.print(f"{bug.name}: {'; '.join(filter(None, row))}", highlight=False)
        failed += [] if found else [f"not found: {bug.name}"]
    proved, near = look_at_text(1)["bound"]["epsilon"], look_at_neighbours(PrivateTrainer)
    wrongly = proved > EPSILON or near.refuted
    moves, proves = _beside(near.moved, near.clip, 4), _beside(proved, EPSILON)
    table.add_row("none", "(the seeds)", "(the seeds)", moves, proves, "YES, WRONGLY" if wrongly else "no")
    console.print(table)
    return [*failed, *(["the right trainer is called wrong"] if wrongly else [])]


def _beside(found: float, claimed: float, digits: int = 2) -> str:
    return f"{found:.{digits}f} {'>' if found > claimed else 'of'} {claimed:g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="how many; 0: only the planted bugs")
    parser.add_argument("--first", type=int, default=0, help="of the seeds")
    parser.add_argument("--no-bugs", action="store_true", help="only the seeds")
    parser.add_argument("--bugs", type=lambda words: words.split(","), help="words of the bugs' names; default: all")
    asked = parser.parse_args()
    quiet_libraries()
    console, began = Console(width=140), time.monotonic()
    failed = seeds(console, asked.first, asked.seeds) if asked.seeds else []
    failed += [] if asked.no_bugs else bugs(console, asked.bugs)
    console.print(f"{time.monotonic() - began:.0f} s")
    for why in failed:
        console.print(f"FAILED: {why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
