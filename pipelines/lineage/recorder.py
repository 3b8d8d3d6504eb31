"""Send the events of a command with the official client. Whatever goes wrong there is a note: it never fails the command.

Where events go is never stored: an address may hold a secret, and a run directory that was received from somebody must not decide
it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from linesmith.core.addresses import redact_address, redact_text
from linesmith.core.errors import ParameterError
from linesmith.pipelines.lineage.datasets import Dataset, Datasets

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

_log = logging.getLogger("linesmith")
_ASKING = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT", "OPENLINEAGE__TRANSPORT__TYPE")
_INSTALL = "pip install 'linesmith[lineage]'"
_RETRIES = {"total": 1, "connect": 1, "read": 1}  # a server that is down must not hold up a command


def check_lineage(target: str | None) -> bool:
    """Return whether events are to be sent: to a target, or to where the variables of OpenLineage's client say.

    Args:
        target: value of `--openlineage`: a file, or an http(s) address; None: it is not given.

    Raises:
        ParameterError: LS129, the target is neither; LS106, the client is not installed.
    """
    if target is not None and not _is_usable(target):
        raise ParameterError(
            "LS129",
            f"--openlineage '{redact_address(target)}'",
            "neither a file nor an http(s) address",
            "Give one, or set up another transport with OPENLINEAGE_CONFIG.",
        )
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if target is None and not any(os.environ.get(name) for name in _ASKING):
        return False
    if find_spec("openlineage") is not None:
        return True
    if target is not None:
        found = "needs openlineage-python, which is not installed"
        raise ParameterError("LS106", f"--openlineage '{redact_address(target)}'", found, f"Install it: {_INSTALL}.")
    _log.warning("OPENLINEAGE_* is set, but no lineage is sent: openlineage-python is not installed (%s)", _INSTALL)
    return False


def _is_usable(target: str) -> bool:
    scheme, separator, _ = target.partition("://")
    if not separator or scheme == "file":
        return True
    try:
        return scheme.lower() in ("http", "https") and bool(urlsplit(target).hostname)
    except ValueError:  # a bracket is missing, or a port is no number
        return False


@dataclass(frozen=True)
class LineageJob:
    """A run of a command.

    Attributes:
        command: its name.
        place: the run directory as the user gave it; its last part begins the name of the job.
        private: the run has differential privacy. All events then have the time at which the command began, and of an error only
            its code is told: nothing in them depends on a record, or on how long one takes.
    """

    command: str
    place: str
    private: bool = False

    @property
    def name(self) -> str:
        """Name of the job within its namespace."""
        directory = redact_address(self.place).partition("?")[0].rstrip("/").rpartition("/")[2]
        return f"{directory or 'linesmith'}.{self.command}"


class LineageRecorder:
    """Sender of the events of one run of a command.

    Args:
        target: as for `check_lineage`.
        job: what is run.
    """

    def __init__(self, target: str | None, job: LineageJob) -> None:
        self._target = target
        self._job = job
        self._began = datetime.now(UTC)
        self._client: OpenLineageClient | None = None
        self._run_id = ""
        self._has_failed = False

    def start(self, datasets: Callable[[], Datasets]) -> None:
        """Send that the command begins."""
        self._send("START", datasets)

    def end(self, exit_code: int, datasets: Callable[[], Datasets], message: str | None = None) -> None:
        """Send that the command ended: complete with exit code 0, aborted with 130, failed otherwise.

        Args:
            exit_code: of the command.
            datasets: what it read and wrote.
            message: of the error; None: an exit code alone.
        """
        state = {0: "COMPLETE", 130: "ABORT"}.get(exit_code, "FAIL")
        error = f"exit code {exit_code}" if message is None else redact_text(message)
        if self._job.private and message is not None:
            error = f"exit code {exit_code}, {message.partition(':')[0] if message.startswith('LS') else 'no code'}"
        self._send(state, datasets, None if exit_code == 0 else error)

    def _send(self, state: str, datasets: Callable[[], Datasets], error: str | None = None) -> None:
        try:
            if self._client is None:
                self._client = _client(self._target)
            self._client.emit(self._event(state, datasets(), error))
        except Exception as failure:  # of the client, its configuration, the network or a disk
            if not self._has_failed:
                _log.warning("lineage: no event reached %s (%s); the command goes on", self._shown, _cause(failure))
            self._has_failed = True

    @property
    def _shown(self) -> str:
        return "what OPENLINEAGE_* names" if self._target is None else f"'{redact_address(self._target)}'"

    def _event(self, state: str, datasets: Datasets, error: str | None) -> Any:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState, set_producer
        from openlineage.client.facet_v2 import error_message_run, job_type_job, processing_engine_run
        from openlineage.client.uuid import generate_new_uuid

        version = metadata.version("linesmith")
        set_producer(f"urn:linesmith:{version}")
        self._run_id = self._run_id or str(generate_new_uuid(self._began))
        about_run: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(version=version, name="Linesmith"),
            **_parent(),
        }
        if error is not None:
            about_run["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "PYTHON")
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="LINESMITH", jobType="COMMAND")
        namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or "linesmith"
        return RunEvent(
            eventTime=(self._began if self._job.private else datetime.now(UTC)).isoformat(),
            eventType=RunState[state],
            run=Run(self._run_id, facets=about_run),
            job=Job(namespace, self._job.name, facets={"jobType": kind}),
            inputs=[_input(dataset) for dataset in datasets.inputs],
            outputs=[_output(dataset) for dataset in datasets.outputs],
        )


def _client(target: str | None) -> OpenLineageClient:
    """Return a client for a target; None leaves it to the client where events go."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport import get_default_factory

    logging.getLogger("openlineage").setLevel(
        logging.CRITICAL
    )  # it shows addresses and answers; failures are told here
    if target is None:
        return OpenLineageClient()
    return OpenLineageClient(transport=get_default_factory().create(transport_settings(target, os.environ)))


def transport_settings(target: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the client's transport for a file or an address.

    Args:
        target: a file, to which events are appended, one a line; or an address, of the server or of its endpoint.
        environment: OPENLINEAGE_ENDPOINT and OPENLINEAGE_API_KEY are used.

    Example:
        >>> transport_settings("events.jsonl", {})["type"], transport_settings("http://host/lineage", {})["endpoint"]
        ('file', '/lineage')
    """
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https"):
        path = os.path.expanduser(target.removeprefix("file://"))
        return {"type": "file", "log_file_path": path, "append": True}
    settings: dict[str, Any] = {"type": "http", "url": target, "retry": _RETRIES}
    if parts.path.strip("/"):
        settings |= {"url": parts._replace(path="", query="", fragment="").geturl()}
        settings["endpoint"] = parts._replace(scheme="", netloc="").geturl()
    elif environment.get("OPENLINEAGE_ENDPOINT"):
        settings["endpoint"] = environment["OPENLINEAGE_ENDPOINT"]
    if environment.get("OPENLINEAGE_API_KEY"):
        settings["auth"] = {"type": "api_key", "apiKey": environment["OPENLINEAGE_API_KEY"]}
    return settings


def _parent() -> dict[str, Any]:
    """Return the run that started this one, as OPENLINEAGE_PARENT_ID (namespace/job/run) names it."""
    from openlineage.client.facet_v2 import parent_run

    namespace, _, rest = os.environ.get("OPENLINEAGE_PARENT_ID", "").partition("/")
    job, _, run = rest.rpartition("/")
    if not (namespace and job and run):
        return {}
    return {"parent": parent_run.ParentRunFacet(parent_run.Run(run), parent_run.Job(namespace, job))}


def _schema(dataset: Dataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset

    if not dataset.columns:
        return {}
    fields = [schema_dataset.SchemaDatasetFacetFields(name, kind) for name, kind in dataset.columns]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields)}


def _input(dataset: Dataset) -> Any:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics

    counts = {"rowCount": dataset.rows, "fileCount": dataset.files, "size": dataset.size_bytes}
    known = any(count is not None for count in counts.values())
    facets = {"inputStatistics": statistics.InputStatisticsInputDatasetFacet(**counts)} if known else {}
    return InputDataset(dataset.namespace, dataset.name, inputFacets=facets, facets=_schema(dataset))


def _output(dataset: Dataset) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    counts = {"rowCount": dataset.rows, "fileCount": dataset.files, "size": dataset.size_bytes}
    known = any(count is not None for count in counts.values())
    facets = {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(**counts)} if known else {}
    return OutputDataset(dataset.namespace, dataset.name, outputFacets=facets, facets=_schema(dataset))


def _cause(failure: Exception) -> str:
    """Return what happened without the address, which messages of the network repeat."""
    status = getattr(getattr(failure, "response", None), "status_code", None)
    if status is not None:
        return f"it answered {status}"
    return str(failure.strerror) if isinstance(failure, OSError) and failure.strerror else type(failure).__name__
