"""Keep a Flink job server that Beam starts in a JVM of this machine on the loopback, or warn that it is not.

The job server of `--flink_job_server_jar` has no option for where it listens. With a local master it also runs Flink itself,
whose configuration it takes from FLINK_CONF_DIR.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from linesmith.core.addresses import redact_address

_log = logging.getLogger("linesmith")
# Without these, Flink's REST service, to which jobs can be uploaded, and its blob server listen on all interfaces.
_FLINK_CONFIGURATION = """rest.address: localhost
rest.bind-address: localhost
jobmanager.bind-host: localhost
taskmanager.bind-host: localhost
"""
_PATCH = (
    b"loopback.jar"  # named in the manifest of the jar that tools/flink assembles, which changes where Beam listens
)


def keep_on_loopback(jar: str, local: bool) -> None:
    """Configure the Flink inside a job server, and warn if the job server itself listens on all interfaces.

    Args:
        jar: path or address of the job server's jar.
        local: whether Flink runs inside the job server. A configuration of the user's own, in FLINK_CONF_DIR, is left alone.
    """
    if local and "FLINK_CONF_DIR" not in os.environ:
        directory = tempfile.mkdtemp(prefix="linesmith-flink-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        (Path(directory) / "flink-conf.yaml").write_text(_FLINK_CONFIGURATION, "utf-8")
        os.environ["FLINK_CONF_DIR"] = directory  # inherited by the JVM that Beam starts
    if not _is_patched(jar):
        _log.warning(
            "Beam's job server '%s' listens on all interfaces of this machine, without authentication; close its ports to "
            "others, or use the jar that make flink-up assembles",
            redact_address(jar),
        )


def _is_patched(jar: str) -> bool:
    try:
        with zipfile.ZipFile(jar) as archive:
            return _PATCH in archive.read("META-INF/MANIFEST.MF")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False
