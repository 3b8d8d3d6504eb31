"""What a Flink cluster says about itself before a job is sent to it."""

from __future__ import annotations

import ipaddress
import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass

from linesmith.core.errors import ParameterError

_SECONDS = 10.0


@dataclass(frozen=True)
class ClusterInfo:
    """Facts of a running cluster.

    Attributes:
        master: its address as it was given.
        version: of Flink.
        task_managers: how many are registered.
        slots: tasks that can run side by side.
        restarts: a job is started again after a failure.
    """

    master: str
    version: str
    task_managers: int
    slots: int
    restarts: bool = True


def ask(master: str) -> ClusterInfo:
    """Ask the JobManager's REST service.

    Raises:
        ParameterError: it does not answer, or is none.
    """
    url = master if "://" in master else f"http://{master}"
    try:
        with urllib.request.urlopen(f"{url}/overview", timeout=_SECONDS) as answer:
            found = json.load(answer)
        with urllib.request.urlopen(f"{url}/jobmanager/config", timeout=_SECONDS) as answer:
            settings = {one["key"]: one["value"] for one in json.load(answer)}
        strategy = settings.get("restart-strategy.type", settings.get("restart-strategy", "none"))
        return ClusterInfo(
            master,
            str(found["flink-version"]),
            int(found["taskmanagers"]),
            int(found["slots-total"]),
            strategy.lower() not in ("none", "off", "disable"),
        )
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError) as error:
        raise ParameterError(
            f"LS403: --flink_master {master}: no Flink JobManager answers there ({type(error).__name__}). Give the host and "
            "port of its REST service, for example host:8081, and see that it runs."
        ) from None


def is_this_machine(master: str) -> bool:
    """Whether an address is one of this machine's own.

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
    with socket.socket() as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
