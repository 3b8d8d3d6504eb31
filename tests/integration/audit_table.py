"""`make test-audit`: audit the correct trainer with twenty seeds and every planted bug; print which attack flags which bug.

    python -m tests.integration.audit_table [--seeds 20] [--first 0] [--no-bugs]

Exits with 1 if the lower bound exceeds the claim in more than three of the twenty seeds, if another attack than the text
canaries flags the correct trainer, or if a bug is not found. Takes a few minutes.
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
    """Return a small private configuration."""
    from linesmith.core.config.tensorflow_config import TensorFlowConfig

    small = {
        "dp": True, "dp_target_epsilon": EPSILON, "dp_delta": 1e-5, "rnn_units": 16, "embedding_dim": 64, "rnn_layers": 1,
        "epochs": 8, "dp_batch_size": 128, "batch_size": 128, "seq_length": 12,
    }  # fmt: skip
    return TensorFlowConfig(**{**small, **changes})


def records(count: int) -> list[str]:
    from linesmith.cli.commands.demo import airport_lines

    return airport_lines(count)


def attack_gradients(trainer_class, seed: int):
    """Audit a trainer with canary gradients, beside the bytes of real records."""
    from linesmith.model.privacy.audit.gradient_canaries import audit_gradients
    from linesmith.model.training.token_store import in_memory_token_store

    store = in_memory_token_store([[2 + byte for byte in line.encode()] for line in records(200)])
    return audit_gradients(setting(seed=seed), store, 258, canaries=1000, seed=seed, trainer_class=trainer_class)


def compare_neighbors(trainer_class):
    """Audit a trainer with neighboring data sets; the result does not depend on a seed."""
    from linesmith.model.privacy.audit.neighbors import audit_neighbors

    return audit_neighbors(setting(rnn_layers=2), 258, trainer_class=trainer_class)


def audit_noise_tails(trainer_class) -> list[str]:
    """Compare the tails of 10^9 draws of a trainer's noise with those of a normal; return the faults."""
    from tests.helpers.noise_tails import far_draws, released_noise, tail_faults

    return tail_faults(far_draws(released_noise(trainer_class)))


def audit_text_canaries(trained, lines, directory: Path, settings):
    """Attack text canaries alone; the result as `audit.json` holds it, with the claim."""
    from linesmith.pipelines.audit.attacks import attack_text_canaries, insert_text_canaries, small_config

    config = small_config(trained, directory, settings.seed)
    return attack_text_canaries(config, lines, insert_text_canaries(config, lines, settings), settings)


def attack_text(seed: int, **changes):
    """Audit tokenize and train with text canaries among real records."""
    from linesmith.pipelines.audit.settings import AuditSettings

    config = setting(field_delimiter="|", seq_length=80, **{"dp_batch_size": None, "epochs": 4, **changes})
    with tempfile.TemporaryDirectory() as directory:
        settings = AuditSettings(records=600, canaries=400, gradients=100, seed=seed, reference=False)
        return audit_text_canaries(config, records(600), Path(directory) / "run", settings)


def seeds(console, first: int, count: int) -> list[str]:
    """Audit the correct trainer with each seed; return what failed."""
    from linesmith.model.privacy.trainer import PrivateTrainer

    failed, within_claim = [], 0
    for seed in range(first, first + count):
        gradients = attack_gradients(PrivateTrainer, seed)
        within_claim += gradients.bound.epsilon <= gradients.epsilon
        failed += [f"the sampling of the correct trainer is flagged with seed {seed}"] if gradients.draws else []
        found = _beside(gradients.bound.epsilon, gradients.epsilon)
        console.print(f"seed {seed}: {found}, draws {', '.join(gradients.draws) or 'as claimed'}", highlight=False)
    console.print(f"the lower bound is below the claim in {within_claim} of {count} seeds (goal {NEEDED} of 20)")
    return [*failed, *(["the lower bound exceeds the claim too often"] if within_claim < NEEDED / 20 * count else [])]


def bugs(console, words: list[str] | None) -> list[str]:
    """Audit every planted bug, or those whose names contain one of the words; return what failed."""
    from linesmith.model.privacy.trainer import PrivateTrainer
    from tests.helpers.planted_bugs import BUGS
    from tests.helpers.release_checks import clock_moves_release, draws_uncharged_vocabulary, keeps_stale_files

    failed = []
    table = Table(
        "planted bug", "canary gradients", "draws", "neighbors", "noise tails", "text canaries", "checks", "flagged"
    )
    for bug in BUGS:
        if words is not None and not any(word in bug.name for word in words):
            continue
        if bug.check is not None:
            with tempfile.TemporaryDirectory() as directory:
                found = bug.check(Path(directory))
            row = ["", "", "", "", "", "found" if found else "passed"]
        elif bug.settings:
            proved = attack_text(0, **dict(bug.settings))["bound"]["epsilon"]
            found, row = proved > EPSILON, ["", "", "", "", _beside(proved, EPSILON), ""]
        else:
            gradients, near = attack_gradients(bug.trainer, 0), compare_neighbors(bug.trainer)
            found = gradients.refuted or near.refuted
            # A minute of draws, so only where nothing else flags the bug.
            tails = [] if found else audit_noise_tails(bug.trainer)
            found |= bool(tails)
            shown = ", and what is shown" if near.released_moved > near.released_allowed else ""
            row = [
                _beside(gradients.bound.epsilon, gradients.epsilon),
                ", ".join(gradients.draws) or "as claimed",
                _beside(near.moved, near.clip, 4) + shown,
                "; ".join(tails),
                "",
                "",
            ]
        table.add_row(bug.name, *row, "yes" if found else "NO")
        console.print(f"{bug.name}: {'; '.join(filter(None, row))}", highlight=False)
        failed += [] if found else [f"not found: {bug.name}"]
    proved, near = attack_text(1)["bound"]["epsilon"], compare_neighbors(PrivateTrainer)
    with tempfile.TemporaryDirectory() as directory:
        clock = clock_moves_release(PrivateTrainer, Path(directory) / "clock")
        stale = keeps_stale_files(Path(directory) / "stale")
        flagged = clock or stale or draws_uncharged_vocabulary(Path(directory) / "vocabulary")
    tails = audit_noise_tails(PrivateTrainer)
    wrongly = proved > EPSILON or near.refuted or flagged or bool(tails)
    moves, proves = _beside(near.moved, near.clip, 4), _beside(proved, EPSILON)
    columns = ["; ".join(tails) or "as a normal's", proves, "FOUND" if flagged else "passed"]
    table.add_row("none", "(the seeds)", "(the seeds)", moves, *columns, "YES, WRONGLY" if wrongly else "no")
    console.print(table)
    return [*failed, *(["the correct trainer is flagged"] if wrongly else [])]


def _beside(found: float, claimed: float, digits: int = 2) -> str:
    return f"{found:.{digits}f} {'>' if found > claimed else 'of'} {claimed:g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds; 0: only the planted bugs")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--no-bugs", action="store_true", help="only the seeds")
    parser.add_argument("--bugs", type=lambda words: words.split(","), help="words of the bugs' names; default: all")
    arguments = parser.parse_args()
    quiet_libraries()
    console, began = Console(width=140), time.monotonic()
    failed = seeds(console, arguments.first, arguments.seeds) if arguments.seeds else []
    failed += [] if arguments.no_bugs else bugs(console, arguments.bugs)
    console.print(f"{time.monotonic() - began:.0f} s")
    for why in failed:
        console.print(f"FAILED: {why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
