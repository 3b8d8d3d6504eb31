"""Dagster job that makes synthetic orders, checks them, and publishes them only if they are close enough and copy nobody.

    synthetic_orders ──▶ is_good_enough (asset check, blocking) ──▶ published_orders

Linesmith runs in an environment of its own, whose Python LINESMITH_PYTHON names. Try it: `dagster dev -f dagster_job.py`.
The run directory must be on a disk that all workers share.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg

DONE, FAULT, WRONG_SETTINGS, BELOW_SCORE, SHORTFALL, INTERRUPTED = 0, 1, 2, 3, 4, 130


class Orders(dg.ConfigurableResource):
    """Where everything is, and what is good enough."""

    input: str = "orders.csv"
    settings: str = "orders.yaml"
    run_directory: str = "nightly"
    published: str = "published"
    closeness: float = 0.9

    def linesmith(self, log: Any, *arguments: str, accepted: tuple[int, ...] = (DONE,)) -> int:
        """Run a Linesmith command on the run directory, and return its exit code.

        Args:
            log: Dagster's log, which gets what the command says.
            arguments: of the command.
            accepted: exit codes with which it returns.

        Raises:
            dg.Failure: another exit code; it is tried again only where that can help (1, 130).
        """
        python = os.environ.get("LINESMITH_PYTHON", "python3")
        command = [python, "-P", "-m", "linesmith", *arguments, "--output", self.run_directory, "--overwrite"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        log.info(done.stdout)
        if done.returncode not in accepted:
            raise dg.Failure(
                f"linesmith ended with exit code {done.returncode}: {done.stderr[-2000:]}",
                allow_retries=done.returncode not in (WRONG_SETTINGS, BELOW_SCORE, SHORTFALL),
            )
        return done.returncode

    def read(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the run directory."""
        content: dict[str, Any] = json.loads(Path(self.run_directory, name).read_text())
        return content


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=1, delay=60))
def synthetic_orders(context: dg.AssetExecutionContext, orders: Orders) -> dg.MaterializeResult:
    """Learn from the orders, and generate others in the run directory."""
    orders.linesmith(context.log, "run", "--config", orders.settings, "--input", orders.input)
    counts = orders.read("synthetic/manifest.json")["counts"]
    return dg.MaterializeResult(metadata={name: counts[name] for name in ("records", "missing", "valid_rate")})


@dg.asset_check(asset=synthetic_orders, blocking=True)
def is_good_enough(context: dg.AssetCheckExecutionContext, orders: Orders) -> dg.AssetCheckResult:
    """Judge by the exit code whether the orders are close to the real ones, and by report.json whether any was copied."""
    limit = f"--fail-under-closeness={orders.closeness}"
    exit_code = orders.linesmith(context.log, "evaluate", limit, accepted=(DONE, BELOW_SCORE))
    report = orders.read("report/report.json")
    privacy = report["verdict"]["privacy"]
    return dg.AssetCheckResult(
        passed=exit_code == DONE and privacy != "leak",
        metadata={"closeness": report["scores"]["closeness"]["value"], "privacy": privacy},
    )


@dg.asset(deps=[synthetic_orders])
def published_orders(orders: Orders) -> None:
    """Put the orders where others read them; the old ones stay there if the check fails."""
    new, published = Path(orders.run_directory, "synthetic"), Path(orders.published)
    staged, old = (published.with_name(published.name + suffix) for suffix in (".new", ".old"))
    for left_over in (staged, old):
        shutil.rmtree(left_over, ignore_errors=True)
    shutil.copytree(new, staged)
    if published.exists():
        published.rename(old)
    staged.rename(published)
    shutil.rmtree(old, ignore_errors=True)


nightly = dg.define_asset_job("nightly", selection=dg.AssetSelection.all())
definitions = dg.Definitions(
    assets=[synthetic_orders, published_orders],
    asset_checks=[is_good_enough],
    jobs=[nightly],
    schedules=[dg.ScheduleDefinition(job=nightly, cron_schedule="0 2 * * *")],
    resources={"orders": Orders()},
)
