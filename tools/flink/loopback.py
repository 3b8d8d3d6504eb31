"""Make the Java half of Beam listen on the loopback: a jar with one patched class, which stands first on the class path.

Beam's job server and the workers' services in TaskManagers bind to all interfaces whatever host they are given: their server
factory calls `NettyServerBuilder.forPort(address.getPort())`. No option changes that. The patched factory calls
`NettyServerBuilder.forAddress(address)`; the address is the loopback's already. The class file is patched as bytes
(https://docs.oracle.com/javase/specs/jvms/se17/html/jvms-4.html), since a machine with a Java runtime need not have a compiler.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

LOOPBACK_JAR = "loopback.jar"
_CLASS = "org/apache/beam/sdk/fn/server/ServerFactory$InetSocketAddressServerFactory.class"
Constants = dict[int, tuple[int, Any]]  # by index: tag, and the text or the numbers
_SIZES = {
    3: 4,
    4: 4,
    5: 8,
    6: 8,
    7: 2,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 4,
    15: 3,
    16: 2,
    17: 4,
    18: 4,
    19: 2,
    20: 2,
}  # by tag
_UTF8, _METHOD, _NAME_AND_TYPE = 1, 10, 12
_INVOKE_VIRTUAL, _INVOKE_STATIC, _NOP = b"\xb6", b"\xb8", b"\x00"


class PatchError(RuntimeError):
    """The class is not the one that is known: Beam opens its servers in another way."""


def write_loopback_jar(jar: Path, target: Path) -> None:
    """Write a jar with the patched class.

    Args:
        jar: Beam's jar `beam-sdks-java-core`.
        target: the jar to write.

    Raises:
        PatchError: the class is missing or has changed.
    """
    with zipfile.ZipFile(jar) as archive:
        if _CLASS not in archive.namelist():
            raise PatchError(f"{jar.name} has no {_CLASS}")
        patched = patch_factory(archive.read(_CLASS))
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_CLASS, patched)


def patch_factory(content: bytes) -> bytes:
    """Return the class file with `forAddress(address)` in place of `forPort(address.getPort())`.

    Args:
        content: the class file.

    Raises:
        PatchError: it holds no such call, or several.
    """
    (count,) = struct.unpack_from(">H", content, 8)
    constants, end = _constants(content, count)
    get_port = _method(constants, "java/net/InetSocketAddress", "getPort")
    for_port = _method(constants, "NettyServerBuilder", "forPort")
    builder = constants[for_port][1][0]
    descriptor = f"(Ljava/net/SocketAddress;)L{_name(constants, builder)};"
    added = _utf8("forAddress") + _utf8(descriptor)
    added += struct.pack(">BHH", _NAME_AND_TYPE, count, count + 1) + struct.pack(">BHH", _METHOD, builder, count + 2)
    call = _INVOKE_VIRTUAL + struct.pack(">H", get_port) + _INVOKE_STATIC + struct.pack(">H", for_port)
    new_call = 3 * _NOP + _INVOKE_STATIC + struct.pack(">H", count + 3)
    body = content[end:]
    if body.count(call) != 1:
        raise PatchError(f"the server factory calls forPort(getPort()) {body.count(call)} times instead of once")
    return content[:8] + struct.pack(">H", count + 4) + content[10:end] + added + body.replace(call, new_call)


def _constants(content: bytes, count: int) -> tuple[Constants, int]:
    """Return the constants and the position of the first byte after them."""
    constants: Constants = {}
    position, index = 10, 1
    while index < count:
        tag = content[position]
        if tag == _UTF8:
            (size,) = struct.unpack_from(">H", content, position + 1)
            constants[index] = (tag, content[position + 3 : position + 3 + size].decode("utf-8", "replace"))
            position += 3 + size
        else:
            size = _SIZES[tag]
            values = struct.unpack_from(f">{size // 2}H", content, position + 1)
            constants[index] = (tag, values)
            position += 1 + size
        index += 2 if tag in (5, 6) else 1  # a long or a double takes two indices
    return constants, position


def _method(constants: Constants, owner: str, name: str) -> int:
    """Return the index of the one method of this name of a class whose name ends with `owner`."""
    found = [
        index
        for index, (tag, value) in constants.items()
        if tag == _METHOD
        and _name(constants, value[0]).endswith(owner)
        and constants[constants[value[1]][1][0]][1] == name
    ]
    if len(found) != 1:
        raise PatchError(f"the server factory refers to {owner}.{name} {len(found)} times instead of once")
    return found[0]


def _name(constants: Constants, class_index: int) -> str:
    return str(constants[constants[class_index][1][0]][1])


def _utf8(text: str) -> bytes:
    return struct.pack(">BH", _UTF8, len(text)) + text.encode("ascii")
