"""Fuzz every reader, or those that are named, each in a process of its own: `python -m tests.fuzz [TARGET …]`.

`FUZZ_SECONDS` is the time for each; 600 where it is not set. A process that crashes, or that no signal can stop, leaves its input
in tests/fuzz/corpus, too.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.harness import CORPUS, CURRENT_INPUT

SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
PYTEST_ARGUMENTS = "-q -s -n 0 -p no:cacheprovider -p no:logging --tb=short -k fuzz_"
GRACE_SECONDS = 300  # of wall time, for imports, for shrinking, and for the machine's other work


def main(names: list[str]) -> int:
    """Run the fuzzers one after the other; return the number of those that failed."""
    folder = Path(__file__).parent
    modules = sorted(folder.glob("test_*.py"))
    chosen = [path for path in modules if not names or path.stem.removeprefix("test_") in names]
    failures = 0
    for module in chosen:
        with tempfile.TemporaryDirectory() as scratch:
            current = Path(scratch) / "input"
            environment = {**os.environ, "FUZZ_SECONDS": str(SECONDS), CURRENT_INPUT: str(current)}
            arguments = [*PYTEST_ARGUMENTS.split(), f"--timeout={SECONDS + GRACE_SECONDS:.0f}", str(module)]
            fuzzers = module.read_text().count("def test_fuzz_")
            try:
                limit = fuzzers * (SECONDS + GRACE_SECONDS) + GRACE_SECONDS
                code = subprocess.run(
                    [sys.executable, "-m", "pytest", *arguments], env=environment, check=False, timeout=limit
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
            failures += code != 0
            if code < 0 and current.is_file():
                content = current.read_bytes()
                kept = CORPUS / "crashes" / f"{module.stem}-{hashlib.sha256(content).hexdigest()[:16]}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(content)
                print(f"{module.stem}: the process ended with {code}; its input is kept in {kept}", file=sys.stderr)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
