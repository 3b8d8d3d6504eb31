"""Find where the processes of a test listen: addresses of the TCP sockets of a process tree."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil

POLL_SECONDS = 0.25


def listening_addresses(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Return address and port of every listening TCP socket of processes and of all their descendants."""
    found = set()
    for pid in pids:
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in tree:
            try:
                sockets = process.net_connections("tcp")
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            found |= {(s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN}
    return found


def beyond_loopback(addresses: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return those addresses that another machine could reach."""
    return sorted((host, port) for host, port in addresses if not _is_loopback(host))


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1, as the JVM binds
    return (mapped or address).is_loopback


@contextmanager
def watch_sockets(*pids: int) -> Iterator[set[tuple[str, int]]]:
    """Yield a set that collects, while the block runs, where the processes and their descendants listen."""
    seen: set[tuple[str, int]] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(listening_addresses(pids))
            over.wait(POLL_SECONDS)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
