"""The published peers, each installed into an environment of its own under `benchmarks/.peers/`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).resolve().parent / ".peers"
_SECONDS = 900.0


class NotInstalledError(RuntimeError):
    """A peer's environment cannot be made here; the message says where the installer's own words are."""


@dataclass(frozen=True)
class Peer:
    """A published tool.

    Attributes:
        name: of its folder.
        bare: packages installed without what they declare to need.
        needs: packages installed with everything they need.
        never: packages to leave out although they are declared.
        imports: what must import once it is installed.
    """

    name: str
    bare: tuple[str, ...]
    needs: tuple[str, ...]
    never: tuple[str, ...]
    imports: str


# Its own pins no longer resolve: it is installed bare beside a set of packages that it runs with.
GRETEL = Peer(
    name="gretel",
    bare=("gretel-synthetics==0.22.17",),
    needs=(
        "tensorflow==2.12.1",
        "tensorflow-privacy==0.7.3",
        "tensorflow-probability==0.19.0",
        "tensorflow-estimator==2.12.0",
        "protobuf<=4.24",
        "numpy<1.24",
        "pandas<2",
        "sentencepiece==0.2.0",
        "joblib==1.4.2",
        "packaging<22",
        "smart_open",
        "tqdm",
        "cloudpickle",
        "category-encoders",
        "setuptools",
    ),
    never=(),
    imports="gretel_synthetics.train",
)
# It needs torch on the CPU only, and of torch's companions none.
MOSTLYAI = Peer(
    name="mostlyai",
    bare=(),
    needs=("mostlyai-engine==2.7.3",),
    never=("torchvision", "torchaudio"),
    imports="mostlyai.engine",
)


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment, which is made where it is not complete.

    Raises:
        NotInstalledError: it cannot be made.
    """
    place = PLACE / peer.name
    python, stamp = place / "bin" / "python", place / "complete"
    wanted = hashlib.sha256(repr(peer).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    PLACE.mkdir(exist_ok=True)
    log = PLACE / f"{peer.name}.log"
    left_out = PLACE / f"{peer.name}-left-out.txt"
    left_out.write_text("".join(f"{name} ; python_version < '3'\n" for name in peer.never))
    install = [_uv(), "pip", "install", "--python", str(python)]
    with open(log, "w") as words:
        _run([_uv(), "venv", "--python", sys.executable, str(place)], words, peer, log)
        if peer.bare:
            _run([*install, "--no-deps", *peer.bare], words, peer, log)
        _install(peer, [*install, "--override", str(left_out), *peer.needs], words, log)
        _run([str(python), "-c", f"import {peer.imports}"], words, peer, log)
    stamp.write_text(wanted)
    return python


def _install(peer: Peer, command: list[str], words: object, log: Path) -> None:
    """With torch built for the CPU alone where that can be had, otherwise with the one everybody gets, which is larger."""
    try:
        _run([*command, "--torch-backend", "cpu"], words, peer, log)
    except NotInstalledError:
        _run(command, words, peer, log)


def _run(command: list[str], words: object, peer: Peer, log: Path) -> None:
    try:
        subprocess.run(command, stdout=words, stderr=words, check=True, timeout=_SECONDS)  # type: ignore[call-overload]
    except (subprocess.SubprocessError, OSError) as error:
        raise NotInstalledError(f"{peer.name} could not be installed: see {log}") from error


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise NotInstalledError("uv, which makes the peers' environments, is not installed")
    return found
