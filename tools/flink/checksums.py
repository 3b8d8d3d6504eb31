"""Compare downloaded jars with the SHA-512 digests that this repository pins."""

from __future__ import annotations

import hashlib
from pathlib import Path

# Lines as `sha512sum` writes and checks them. `make flink-lock` writes the file again.
PINS = Path(__file__).with_name("jars.sha512")


def find_differences(folder: Path) -> list[str]:
    """Return what in a folder is not as pinned: changed, missing, or more than the pinned jars.

    Args:
        folder: the folder of the jars; one that does not exist lacks all of them.

    Returns:
        One phrase per file, in the order of the names; empty if the folder holds the pinned jars and nothing else.
    """
    pins = {name: digest for digest, _, name in (line.partition("  ") for line in PINS.read_text("utf-8").splitlines())}
    found = _digests(folder)
    differences = []
    for name in sorted(pins | found):
        if name not in found:
            differences.append(f"{name} is missing")
        elif name not in pins:
            differences.append(f"{name} is not pinned")
        elif not found[name]:
            differences.append(f"{name} is not a plain file")
        elif found[name] != pins[name]:
            differences.append(f"{name} has the digest {found[name][:16]}…, pinned is {pins[name][:16]}…")
    return differences


def write_pins(folder: Path) -> int:
    """Pin the files of a folder in place of those pinned before, and return how many there are."""
    digests = _digests(folder)
    PINS.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())), "utf-8")
    return len(digests)


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-512 of each entry by name; what is not a plain file has an empty digest."""
    digests = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        # A link could lead elsewhere once it has been checked.
        plain = path.is_file() and not path.is_symlink()
        digests[path.name] = hashlib.sha512(path.read_bytes()).hexdigest() if plain else ""
    return digests
