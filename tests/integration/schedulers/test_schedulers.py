"""The examples for Airflow and Dagster, in environments of their own: a real run, and each branch with a command that plays it.

The pinned versions are in the .txt files beside this one: `uv pip compile --no-annotate --no-header` of apache-airflow with its
providers apache-beam (which needs that of google), google and standard; and of dagster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environments import NotInstalledError, Peer, environment_python

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]
HERE, EXAMPLES = Path(__file__).parent, Path(__file__).resolve().parents[3] / "examples"
FILES = {"airflow": "airflow_dag.py", "dagster": "dagster_job.py"}
TINY = "input_format: csv\ngen_lines: 30\nreport: false\nepochs: 1\nrnn_units: 16\n"
# Stands for the Python that LINESMITH_PYTHON names: a command ends as codes.json in its run directory says.
PLAYER = """#!{python}
import json, pathlib, sys
if "-c" in sys.argv:
    sys.exit(print("2.70.0"))
command = sys.argv[sys.argv.index("linesmith") + 1]
at = next(n for n, word in enumerate(sys.argv) if word.startswith("--output"))
run = pathlib.Path(sys.argv[at].partition("=")[2] or sys.argv[at + 1])
plan = json.loads((run / "codes.json").read_text())
for name, body in (
    ("synthetic/manifest.json", {{"counts": {{"records": 5, "missing": 0, "valid_rate": 1.0}}}}),
    ("report/report.json", {{"scores": {{"closeness": {{"value": 0.5}}}}, "verdict": {{"privacy": plan["privacy"]}}}}),
):
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(json.dumps(body))
sys.exit(plan.get(command, 0))
"""
PLANS = [
    {"privacy": "no leak found"},
    {"privacy": "leak"},
    {"privacy": "no leak found", "evaluate": 3},
    {"privacy": "no leak found", "run": 4},
    {"privacy": "no leak found", "evaluate": 2},
]


@pytest.fixture(scope="module", params=list(FILES))
def scheduler(request) -> tuple[str, Path]:
    """A scheduler, and the Python of its environment."""
    name = request.param
    packages = tuple((HERE / f"{name}.txt").read_text().split())
    try:
        return name, environment_python(Peer(name, (), packages, (), name))
    except NotInstalledError as error:
        pytest.skip(f"{name} cannot be installed here: {error}")


def run_example(
    scheduler: tuple[str, Path], place: Path, linesmith: str, *params: dict[str, Any]
) -> list[dict[str, Any]]:
    name, python = scheduler
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "DAGSTER", "PYTHON"))
    }
    environment |= {
        "LINESMITH_PYTHON": linesmith,
        "AIRFLOW_HOME": str(place / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [python, HERE / f"{name}_run.py", EXAMPLES / FILES[name], *map(json.dumps, params)],
        cwd=place, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def params_of(place: Path, closeness: float) -> dict[str, Any]:
    return {
        "input": str(EXAMPLES / "orders.csv"), "settings": str(place / "tiny.yaml"), "run_directory": str(place / "run"),
        "published": str(place / "published"), "closeness": closeness,
    }  # fmt: skip


def test_orders_are_made_and_published(scheduler, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    wrong = {**params_of(tmp_path, 0.0), "settings": str(tmp_path / "missing.yaml")}
    found = run_example(scheduler, tmp_path, sys.executable, params_of(tmp_path, 0.0), wrong)
    published = json.loads((tmp_path / "published" / "manifest.json").read_text())
    assert published["counts"]["records"] == 30
    assert "closeness" in json.loads((tmp_path / "run" / "report" / "report.json").read_text())["scores"]
    if scheduler[0] == "airflow":
        success = {"run": "success", "evaluate": "success", "decide": "success"}
        assert found[0] == {**success, "publish": "success", "keep_old": "skipped"}
        assert found[1]["run"] == "failed" and found[1]["publish"] == "upstream_failed"
    else:
        assert found[0] == {"success": True, "materialized": ["synthetic_orders", "published_orders"], "passed": [True]}
        assert found[1] == {"success": False, "materialized": [], "passed": []}


def test_each_branch(scheduler, tmp_path):
    player = tmp_path / "python"
    player.write_text(PLAYER.format(python=sys.executable))
    player.chmod(0o755)
    params = []
    for number, plan in enumerate(PLANS):
        place = tmp_path / str(number)
        (place / "run").mkdir(parents=True)
        (place / "run" / "codes.json").write_text(json.dumps(plan))
        params.append(params_of(place, 0.9))
    found = run_example(scheduler, tmp_path, str(player), *params)
    published = [(tmp_path / str(number) / "published").is_dir() for number in range(len(PLANS))]
    assert published == [True, False, False, False, False]
    if scheduler[0] == "airflow":
        outcomes = [(states["run"], states["evaluate"], states["publish"], states["keep_old"]) for states in found]
        kept = ("success", "success", "skipped", "success")
        assert outcomes[:3] == [("success", "success", "success", "skipped"), kept, kept]
        assert outcomes[3][:2] == ("failed", "upstream_failed") and outcomes[4][:2] == ("success", "failed")
    else:
        assert [result["passed"] for result in found] == [[True], [False], [False], [], []]
        assert [result["success"] for result in found] == [True, False, False, False, False]
