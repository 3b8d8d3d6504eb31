"""Define `linesmith audit`: measure how much the training of a run directory reveals about its records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from linesmith.cli.options import CommandLine, DebugOption
from linesmith.core.errors import ParameterError

Output = Annotated[str | None, typer.Option("--output", help="The run directory; its training data is needed.")]
Config = Annotated[str | None, typer.Option("--config", help="Settings of the run in a file.")]
Records = Annotated[int, typer.Option("--records", help="Number of real records to train on beside the canaries.")]
Texts = Annotated[int, typer.Option("--canaries", help="Number of text canaries; half of them are trained on.")]
Gradients = Annotated[
    int, typer.Option("--gradients", help="Number of canary gradients; used with differential privacy.")
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of the canaries, of their random choice and of the network.")
]
Reference = Annotated[
    bool, typer.Option("--reference/--no-reference", help="Compare losses with a model that saw no canary.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing audit.")]


def build_audit_command(load: Callable[[], None], show: Callable[..., int]) -> Callable[..., int]:
    """Return the command's function for typer.

    Args:
        load: function that loads the slow libraries; called after every cheap check.
        show: function that prints the stage's report and returns its exit code.
    """

    def audit(
        output: Output = None,
        config: Config = None,
        records: Records = 600,
        canaries: Texts = 400,
        gradients: Gradients = 1000,
        seed: Seed = 0,
        reference: Reference = True,
        overwrite: Overwrite = False,
        debug: DebugOption = False,
    ) -> int:
        from linesmith.cli.settings import resolve
        from linesmith.pipelines.audit import stage
        from linesmith.pipelines.audit.settings import AuditSettings

        if output is not None and "://" in output:
            raise ParameterError(
                "LS118",
                f"--output '{output}'",
                "an address, and audit works on a local run directory",
                "Copy the run, its training data included, and give the copy.",
            )
        settings = AuditSettings(
            records=records,
            canaries=canaries,
            gradients=gradients,
            seed=seed,
            reference=reference,
            overwrite=overwrite,
        )
        output_setting = {} if output is None else {"checkpoint_dir": output}
        run_config = resolve(CommandLine("audit", output_setting, config))
        stage.check_audit(run_config, settings)
        load()
        return show(stage.audit(run_config, settings))

    return audit
