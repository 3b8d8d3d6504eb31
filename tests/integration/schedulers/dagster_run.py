"""Run the job of a file in this environment, once for each set of parameters, and print what became of its steps as JSON.

`python dagster_run.py JOB_FILE PARAMS…`
"""

import json
import runpy
import sys


def main() -> None:
    """Run the job in this process."""
    names = runpy.run_path(sys.argv[1])
    job = names["definitions"].resolve_job_def("nightly")
    found = []
    for params in sys.argv[2:]:
        orders = names["Orders"](**json.loads(params))
        result = job.execute_in_process(resources={"orders": orders}, raise_on_error=False)
        checks = result.get_asset_check_evaluations()
        found.append(
            {
                "success": result.success,
                "materialized": [
                    event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
                ],
                "passed": [check.passed for check in checks],
            }
        )
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
