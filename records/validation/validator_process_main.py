"""The other end of `validator_process`: loads a validator and judges what it is sent, until the parent goes away."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from typing import Any

_HEAD = struct.Struct("<I")


def main(arguments: list[str]) -> None:
    """Serve on two inherited pipes.

    Args:
        arguments: numbers of the pipe to read from and of the one to write to.
    """
    from linesmith.core.errors import ParameterError
    from linesmith.records.validation.record_validator import ask
    from linesmith.records.validation.user_validator import ValidatorSource

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    inward, outward = os.fdopen(int(arguments[0]), "rb"), int(arguments[1])
    try:
        validator = ValidatorSource(**_receive(inward)).load()
    except ParameterError as error:
        _send(outward, str(error))
        return
    _send(outward, True)
    while True:
        for text in _receive(inward):
            verdict = ask(validator, text)
            _send(outward, None if verdict.valid else [verdict.valid, verdict.reason, verdict.explain])


def _end_with(parent: int) -> None:
    """A validator that hangs reads no pipe, and would outlive a worker that was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _receive(pipe: Any) -> Any:
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        sys.exit(0)  # the parent is gone
    return json.loads(pipe.read(_HEAD.unpack(head)[0]))


def _send(pipe: int, message: Any) -> None:
    content = json.dumps(message).encode()
    view = memoryview(_HEAD.pack(len(content)) + content)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main(sys.argv[1:])
