"""The patch of Beam's Java server factory: what it changes, and that it refuses a class that it does not know."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from tools.flink.loopback import PatchError, patch_factory, write_loopback_jar

BUILDER = "vendor/NettyServerBuilder"


def class_file(*, calls: int = 1, method: str = "forPort") -> bytes:
    """Return the beginning of a class file whose code calls `NettyServerBuilder.forPort(address.getPort())`."""

    def utf8(text: str) -> bytes:
        return struct.pack(">BH", 1, len(text)) + text.encode()

    constants = [
        utf8("java/net/InetSocketAddress"),  # 1
        struct.pack(">BH", 7, 1),
        utf8("getPort"),
        utf8("()I"),
        struct.pack(">BHH", 12, 3, 4),
        struct.pack(">BHH", 10, 2, 5),  # 6: getPort
        utf8(BUILDER),
        struct.pack(">BH", 7, 7),
        utf8(method),
        utf8(f"(I)L{BUILDER};"),
        struct.pack(">BHH", 12, 9, 10),
        struct.pack(">BHH", 10, 8, 11),  # 12: forPort
        struct.pack(">Bq", 5, 20),  # 13 and 14
    ]
    head = b"\xca\xfe\xba\xbe" + struct.pack(">HHH", 0, 52, 15)
    return head + b"".join(constants) + b"\x2b\xb6\x00\x06\xb8\x00\x0c" * calls + b"rest"


def test_the_port_is_replaced_by_the_address() -> None:
    before, patched = class_file(), patch_factory(class_file())
    assert struct.unpack_from(">H", patched, 8) == (19,)
    names = b"\x01\x00\x0aforAddress" + b"\x01\x00\x35(Ljava/net/SocketAddress;)Lvendor/NettyServerBuilder;"
    added = names + b"\x0c\x00\x0f\x00\x10" + b"\x0a\x00\x08\x00\x11"
    end = before.index(b"\x2b\xb6")
    assert patched[10:] == before[10:end] + added + b"\x2b\x00\x00\x00\xb8\x00\x12rest"


@pytest.mark.parametrize("other", [class_file(calls=0), class_file(calls=2), class_file(method="forAddress")])
def test_a_class_that_opens_servers_in_another_way_is_refused(other: bytes) -> None:
    with pytest.raises(PatchError, match="instead of once"):
        patch_factory(other)


def test_a_jar_without_the_class_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "beam.jar", "w") as archive:
        archive.writestr("Other.class", b"")
    with pytest.raises(PatchError, match="has no"):
        write_loopback_jar(tmp_path / "beam.jar", tmp_path / "loopback.jar")
