"""Run one Beam worker process on a Flink TaskManager: `linesmith-worker`, the command of environment type PROCESS.

Flink starts it with an id and the address of a service, from which it gets everything else. It does what the boot program of
Beam's container does, except for the installation of packages: every machine of the cluster must have Linesmith, in the same
versions as the machine that submits, which is checked before any work is accepted. A worker pool (environment type EXTERNAL)
starts the same command as its `--container_executable`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence

from linesmith.core.errors import coded_message
from linesmith.runners.versions import DRIVER_DIRECTORY, DRIVER_VERSIONS, version_differences

EXIT_VERSION_MISMATCH = 64  # Flink reports nothing but the exit code of a worker that ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Get the job's settings and run its worker until the job ends.

    Args:
        arguments: command line; None: `sys.argv`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="linesmith-worker", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--id", required=True, help="the worker's name")
    parser.add_argument(
        "--provision_endpoint", required=True, help="host:port of the service that has the job's settings"
    )
    parser.add_argument("--semi_persist_dir", default="/tmp")
    parsed, _ = parser.parse_known_args(arguments)
    differences = version_differences(os.environ.get(DRIVER_VERSIONS, "{}"))
    if differences:
        found = f"this worker differs from the machine that submitted: {differences}"
        print(coded_message("LS404", None, found, "Install the same versions here."), file=sys.stderr)  # noqa: T201
        return EXIT_VERSION_MISMATCH
    # On another machine the directory may not exist; paths are absolute there (linesmith.runners.shared_paths).
    with contextlib.suppress(KeyError, OSError):
        os.chdir(os.environ[DRIVER_DIRECTORY])
    variables = worker_environment(parsed.id, parsed.provision_endpoint)
    os.environ.update(variables, SEMI_PERSISTENT_DIRECTORY=parsed.semi_persist_dir)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    return 0


def worker_environment(worker_id: str, endpoint: str) -> dict[str, str]:
    """Return the environment variables that Beam's worker reads, from the runner's provision service.

    Args:
        worker_id: id that Flink gave to the worker.
        endpoint: host and port of the provision service.
    """
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = stub.GetProvisionInfo(
            request, metadata=(("worker_id", worker_id),), timeout=60, wait_for_ready=True
        ).info
    variables = {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(info.pipeline_options)),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    if info.HasField("status_endpoint"):
        variables["STATUS_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(info.status_endpoint)
    return variables


if __name__ == "__main__":
    sys.exit(main())
