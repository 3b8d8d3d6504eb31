"""Run the DAG of a file in this environment, once for each set of parameters, and print the states of its tasks as JSON.

`python airflow_run.py DAG_FILE PARAMS…`; AIRFLOW_HOME is a new folder.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Make a database, put the DAG into it, and run it in this process."""
    folder = Path(os.environ["AIRFLOW_HOME"], "dags")
    folder.mkdir(parents=True)
    file = shutil.copy(sys.argv[1], folder)
    for command in ("db migrate", "dags reserialize"):
        airflow = [str(Path(sys.executable).parent / "airflow"), *command.split()]
        subprocess.run(airflow, check=True, stdout=sys.stderr)
    dag = runpy.run_path(file)["nightly"]
    found = []
    for params in sys.argv[2:]:
        run = dag.test(run_conf=json.loads(params))
        found.append({task.task_id: str(task.state) for task in run.get_task_instances()})
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
