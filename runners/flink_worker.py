"""One Beam worker process on a Flink TaskManager: `linesmith-worker`, the command of environment type PROCESS.

Flink starts it with an id and an address; everything else is asked for there. It does what the boot program of Beam's
container does, less the installation of packages: Linesmith must be installed on every machine of the cluster, in the
versions of the machine that submits, and that is checked before any work is taken. The same command serves a worker pool
(environment type EXTERNAL) as its `--container_executable`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence

from linesmith.runners.versions import DRIVER_DIRECTORY, DRIVER_VERSIONS, differences

EXIT_VERSION_MISMATCH = 64  # exit code, which is all that Flink tells of a worker that ends


def main(words: Sequence[str] | None = None) -> int:
    """Ask for the job's settings, become its worker, and end with it."""
    parser = argparse.ArgumentParser(prog="linesmith-worker", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--id", required=True, help="the worker's name")
    parser.add_argument("--provision_endpoint", required=True, help="host:port of the service that tells the rest")
    parser.add_argument("--semi_persist_dir", default="/tmp")
    given, _ = parser.parse_known_args(words)
    different = differences(os.environ.get(DRIVER_VERSIONS, "{}"))
    if different:
        print(f"LS404: this worker differs from the machine that submitted: {different}", file=sys.stderr)  # noqa: T201
        return EXIT_VERSION_MISMATCH
    with contextlib.suppress(
        KeyError, OSError
    ):  # elsewhere, only absolute paths are taken (linesmith.runners.shared_paths)
        os.chdir(os.environ[DRIVER_DIRECTORY])
    os.environ.update(settings_of(given.id, given.provision_endpoint), SEMI_PERSISTENT_DIRECTORY=given.semi_persist_dir)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    return 0


def settings_of(worker: str, endpoint: str) -> dict[str, str]:
    """What Beam's worker reads from its environment, as the runner's provision service tells it."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = stub.GetProvisionInfo(request, metadata=(("worker_id", worker),), timeout=60, wait_for_ready=True).info
    settings = {
        "WORKER_ID": worker,
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(info.pipeline_options)),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    if info.HasField("status_endpoint"):
        settings["STATUS_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(info.status_endpoint)
    return settings


if __name__ == "__main__":
    sys.exit(main())
