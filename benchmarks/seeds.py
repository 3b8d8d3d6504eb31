"""Time and memory of preparing start strings, and of reading all of them back by unit: `python benchmarks/seeds.py 1000000`."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from model.seed_files import read_seeds
from model.seed_store import finish_store, plan_seeded_units, write_seeds
from model.start_strings import iter_encoded
from model.tokenizers import CharTokenizer
from model.tokenizers.fields import FieldFormat


def peak() -> float:
    """Largest resident size so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int) -> None:
    tokenizer = CharTokenizer(range(32, 127), FieldFormat(",", False))
    with tempfile.TemporaryDirectory() as scratch:
        file, store = Path(scratch) / "seeds.txt", Path(scratch) / "store"
        with open(file, "w") as out:
            out.writelines(f"{number},HRN{number % 997},\n" for number in range(count))
        before, began = peak(), time.perf_counter()
        written = write_seeds(store, 0, iter_encoded(read_seeds(str(file)), tokenizer, "--start-strings-file"))
        finish_store(store, [written])
        prepared = time.perf_counter() - began
        began = time.perf_counter()
        read = sum(
            len(unit.start_of(i).ids)
            for unit in plan_seeded_units(str(store), written, 1, 8192)
            for i in range(unit.start, unit.end)
        )
        print(
            f"{written:,} start strings ({read:,} ids): prepared in {prepared:.1f} s, read back in "
            f"{time.perf_counter() - began:.1f} s, memory {before:.0f} MiB before and {peak():.0f} MiB at most"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
