"""Install each published peer into its own virtual environment under `benchmarks/.peers/`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parent / ".peers"
_SECONDS = 900.0


class NotInstalledError(RuntimeError):
    """Error that a peer's environment cannot be created on this machine; the message names the installer's log."""


@dataclass(frozen=True)
class Peer:
    """Published tool that Linesmith is compared with.

    Attributes:
        name: name of its folder.
        without_dependencies: packages installed without their declared dependencies.
        packages: packages installed with their dependencies.
        excluded: declared dependencies that are not installed.
        import_check: module that must be importable after the installation.
    """

    name: str
    without_dependencies: tuple[str, ...]
    packages: tuple[str, ...]
    excluded: tuple[str, ...]
    import_check: str


# Its own version pins no longer resolve: it is installed without dependencies, next to versions that it runs with.
GRETEL = Peer(
    name="gretel",
    without_dependencies=("gretel-synthetics==0.22.17",),
    packages=(
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
    excluded=(),
    import_check="gretel_synthetics.train",
)
# It runs on the CPU and needs torch, but not torchvision or torchaudio.
MOSTLYAI = Peer(
    name="mostlyai",
    without_dependencies=(),
    packages=("mostlyai-engine==2.7.3",),
    excluded=("torchvision", "torchaudio"),
    import_check="mostlyai.engine",
)
# Tools for tables: GaussianCopula, TVAE and SDMetrics of one, and one for nested JSON.
SDV = Peer(
    name="sdv",
    without_dependencies=(),
    packages=("sdv==2.0.0",),
    excluded=("torchvision", "torchaudio"),
    import_check="sdv.single_table",
)
ORIGAMI = Peer(
    name="origami",
    without_dependencies=(),
    packages=("origami-ml==2.0.1", "pandas<3"),
    excluded=("torchvision", "torchaudio"),
    import_check="origami",
)


def environment_python(peer: Peer) -> Path:
    """Return the interpreter of a peer's environment; create the environment if it is missing, incomplete or outdated.

    Raises:
        NotInstalledError: the environment cannot be created.
    """
    directory = ENVIRONMENTS / peer.name
    python, stamp = directory / "bin" / "python", directory / "complete"
    digest = hashlib.sha256(repr(peer).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return python
    shutil.rmtree(directory, ignore_errors=True)
    ENVIRONMENTS.mkdir(exist_ok=True)
    log = ENVIRONMENTS / f"{peer.name}.log"
    overrides = ENVIRONMENTS / f"{peer.name}-left-out.txt"
    overrides.write_text("".join(f"{name} ; python_version < '3'\n" for name in peer.excluded))
    install = [_uv(), "pip", "install", "--python", str(python)]
    with open(log, "w") as output:
        _run([_uv(), "venv", "--python", sys.executable, str(directory)], output, peer, log)
        if peer.without_dependencies:
            _run([*install, "--no-deps", *peer.without_dependencies], output, peer, log)
        _install(peer, [*install, "--override", str(overrides), *peer.packages], output, log)
        _run([str(python), "-c", f"import {peer.import_check}"], output, peer, log)
    stamp.write_text(digest)
    return python


def _install(peer: Peer, command: list[str], output: object, log: Path) -> None:
    """Install with the CPU build of torch if the index has it, otherwise with the default build, which is larger."""
    try:
        _run([*command, "--torch-backend", "cpu"], output, peer, log)
    except NotInstalledError:
        _run(command, output, peer, log)


def _run(command: list[str], output: object, peer: Peer, log: Path) -> None:
    try:
        subprocess.run(command, stdout=output, stderr=output, check=True, timeout=_SECONDS)  # type: ignore[call-overload]
    except (subprocess.SubprocessError, OSError) as error:
        raise NotInstalledError(f"{peer.name} could not be installed: see {log}") from error


def _uv() -> str:
    in_environment = Path(sys.executable).parent / "uv"
    program = str(in_environment) if in_environment.is_file() else shutil.which("uv")
    if program is None:
        raise NotInstalledError("uv, which creates the peers' environments, is not installed")
    return program
