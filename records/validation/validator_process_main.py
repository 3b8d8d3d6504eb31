"""Child process of `validator_process`: loads a validator and checks the records it receives until the parent ends."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from typing import Any

HEADER = struct.Struct("<I")  # a message is JSON after its length in bytes


def main(arguments: list[str]) -> None:
    """Serve on two inherited pipes; does not return.

    Args:
        arguments: file descriptors of the pipe to read from and of the pipe to write to.
    """
    from linesmith.core.errors import ParameterError
    from linesmith.records.validation.record_validator import run_validator
    from linesmith.records.validation.user_validator import ValidatorSource

    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    request_pipe, answer_pipe = os.fdopen(int(arguments[0]), "rb"), int(arguments[1])
    try:
        validator = ValidatorSource(**_receive(request_pipe)).load()
    except ParameterError as error:
        send_message(answer_pipe, str(error))
        return
    send_message(answer_pipe, True)
    while True:
        for text in _receive(request_pipe):
            try:
                result = run_validator(validator, text)
            except ParameterError as error:
                send_message(answer_pipe, error.as_dict())
                return
            answer = [result.valid, result.reason, result.explain, result.fault]
            send_message(answer_pipe, None if result.valid else answer)


def _exit_with_parent(parent: int) -> None:
    """End this process when its parent has ended: a validator that hangs does not notice that its pipe is closed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _receive(pipe: Any) -> Any:
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        sys.exit(0)  # the parent has ended
    return json.loads(pipe.read(HEADER.unpack(header)[0]))


def send_message(pipe: int, message: object) -> None:
    """Write a message of plain JSON types to a pipe.

    Args:
        pipe: its file descriptor.
        message: of plain JSON types.

    Raises:
        OSError: the other end is closed.
    """
    content = json.dumps(message).encode()
    view = memoryview(HEADER.pack(len(content)) + content)
    while view:  # a pipe takes a part of a long message at a time
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main(sys.argv[1:])
