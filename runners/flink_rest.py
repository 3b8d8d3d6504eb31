"""Query a Flink cluster before a job is submitted to it."""

from __future__ import annotations

import ipaddress
import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass

from linesmith.core.errors import ParameterError

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ClusterInfo:
    """Properties of a running cluster.

    Attributes:
        master: address, as `--flink_master` gives it.
        version: version of Flink.
        task_managers: number of registered TaskManagers.
        slots: number of tasks that can run at the same time.
        restarts: whether the cluster restarts a job after a failure.
    """

    master: str
    version: str
    task_managers: int
    slots: int
    restarts: bool = True


def query_cluster(master: str) -> ClusterInfo:
    """Return what the JobManager's REST service reports.

    Args:
        master: host and port, or a URL.

    Raises:
        ParameterError: LS412, nothing answers within 10 seconds, or it is not a JobManager.
    """
    url = master if "://" in master else f"http://{master}"
    try:
        with urllib.request.urlopen(f"{url}/overview", timeout=_TIMEOUT_SECONDS) as response:
            overview = json.load(response)
        with urllib.request.urlopen(f"{url}/jobmanager/config", timeout=_TIMEOUT_SECONDS) as response:
            settings = {entry["key"]: entry["value"] for entry in json.load(response)}
        strategy = settings.get("restart-strategy.type", settings.get("restart-strategy", "none"))
        return ClusterInfo(
            master,
            str(overview["flink-version"]),
            int(overview["taskmanagers"]),
            int(overview["slots-total"]),
            strategy.lower() not in ("none", "off", "disable"),
        )
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError) as error:
        raise ParameterError(
            "LS412",
            f"--flink_master {master}",
            f"no Flink JobManager answers there ({type(error).__name__})",
            "Give the host and port of its REST service, for example host:8081, and see that it runs.",
        ) from None


def is_this_machine(master: str) -> bool:
    """Return whether an address belongs to this machine; False if its host name cannot be resolved.

    Args:
        master: host and port, or a URL.

    Example:
        >>> is_this_machine("http://localhost:8081"), is_this_machine("127.0.0.1:8081")
        (True, True)
    """
    host = master.partition("://")[2] or master
    host = host.partition("/")[0].rpartition(":")[0] or host
    try:
        address = ipaddress.ip_address(socket.gethostbyname(host.strip("[]")))
    except (OSError, ValueError):
        return False
    if address.is_loopback:
        return True
    with socket.socket() as probe:  # a socket can be bound only to an address of this machine
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
