"""Airflow DAG that makes synthetic orders every night, and publishes them only if they are close enough and copy nobody.

    run ──▶ evaluate ──▶ decide ──▶ publish | keep_old

Linesmith runs in an environment of its own, whose Python LINESMITH_PYTHON names; Airflow's workers need
`apache-airflow-providers-apache-beam` and `-google`, which its operators ask for. Another runner is a parameter:
{"runner": "FlinkRunner"}, and its options, such as flink_master, belong in `default_pipeline_options`. The run directory must be
on a disk that all workers share.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

_log = logging.getLogger(__name__)
DONE, FAULT, WRONG_SETTINGS, BELOW_SCORE, SHORTFALL, INTERRUPTED = 0, 1, 2, 3, 4, 130


class LinesmithOperator(BeamRunPythonPipelineOperator):
    """Operator that runs a Linesmith command, and returns its exit code.

    Args:
        command: such as run, generate or evaluate.
        accepted: exit codes with which the task succeeds, for a task below to branch on. With another one it fails: at once where
            trying again does not help (2, 3, 4), otherwise after its retries (1, 130).
        options: of the command and of Beam, by the names of their flags.
        more: arguments of `BeamRunPythonPipelineOperator`.
    """

    def __init__(
        self, *, command: str, options: dict[str, Any], accepted: tuple[int, ...] = (DONE,), **more: Any
    ) -> None:
        super().__init__(
            py_interpreter=os.environ.get("LINESMITH_PYTHON", "python3"),
            py_options=["-P", "-m", "linesmith"],
            py_file=command,
            pipeline_options=options,
            **more,
        )
        self.accepted = accepted

    def execute(self, context: Any) -> int:
        """Run the command."""
        try:
            super().execute(context)
        except AirflowException as error:
            found = re.search(r"return code (\d+)", str(error))
            code = FAULT if found is None else int(found.group(1))
            if code in self.accepted:
                return code
            if code in (WRONG_SETTINGS, BELOW_SCORE, SHORTFALL):
                raise AirflowFailException(f"linesmith ended with exit code {code}: its log says why") from None
            raise
        return DONE


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # a run directory has one writer
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5)},
    params={
        "input": "orders.csv",
        "settings": "orders.yaml",
        "run_directory": "nightly",
        "published": "published",
        "closeness": 0.9,
        "runner": "DirectRunner",
    },
)
def synthetic_orders() -> None:
    """Learn from the orders, generate others, and publish them if they are good enough."""
    place = {"output": "{{ params.run_directory }}", "overwrite": True}
    run = LinesmithOperator(
        task_id="run",
        command="run",
        runner="{{ params.runner }}",
        options={"config": "{{ params.settings }}", "input": "{{ params.input }}", **place},
    )
    evaluate = LinesmithOperator(
        task_id="evaluate",
        command="evaluate",
        runner="{{ params.runner }}",
        options={"fail-under-closeness": "{{ params.closeness }}", **place},
        accepted=(DONE, BELOW_SCORE),
    )

    @task.branch
    def decide(exit_code: int, params: dict[str, Any]) -> str:
        """Choose by the exit code, and by what report.json says of copies."""
        report = json.loads(Path(params["run_directory"], "report", "report.json").read_text())
        _log.info("closeness %s, privacy: %s", report["scores"]["closeness"]["value"], report["verdict"]["privacy"])
        return "publish" if exit_code == DONE and report["verdict"]["privacy"] != "leak" else "keep_old"

    @task
    def publish(params: dict[str, Any]) -> int:
        """Put the records in the place of the old ones; return how many they are."""
        new, published = Path(params["run_directory"], "synthetic"), Path(params["published"])
        staged, old = (published.with_name(published.name + suffix) for suffix in (".new", ".old"))
        for left_over in (staged, old):
            shutil.rmtree(left_over, ignore_errors=True)
        shutil.copytree(new, staged)
        if published.exists():
            published.rename(old)
        staged.rename(published)
        shutil.rmtree(old, ignore_errors=True)
        return int(json.loads((published / "manifest.json").read_text())["counts"]["records"])

    @task
    def keep_old() -> None:
        """Leave what was published before."""

    run >> evaluate
    decide(evaluate.output) >> [publish(), keep_old()]


nightly = synthetic_orders()
