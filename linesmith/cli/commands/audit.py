"""`linesmith audit`: what the way of training in a run directory lets out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from linesmith.cli.options import Given
from linesmith.core.errors import ParameterError

Output = Annotated[str | None, typer.Option("--output", help="The run directory; its training data are needed.")]
Config = Annotated[str | None, typer.Option("--config", help="Settings of the run in a file.")]
Records = Annotated[int, typer.Option("--records", help="Real records to train on beside the canaries.")]
Texts = Annotated[int, typer.Option("--canaries", help="Text canaries, half of which take part.")]
Gradients = Annotated[int, typer.Option("--gradients", help="Canary gradients, with differential privacy.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of coins, canaries and the network.")]
Reference = Annotated[
    bool, typer.Option("--reference/--no-reference", help="Compare losses with a model that saw no canary.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an audit that is there.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.")]


def build_audit_command(load: Callable[[], None], show: Callable[..., int]) -> Callable[..., int]:
    """The command, for the command line to register.

    Args:
        load: loads the slow libraries; called when all that is cheap has been checked.
        show: shows the stage's report and gives its exit code.
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
        debug: Debug = False,
    ) -> int:
        """Plant canaries into the way a run was trained, and say what epsilon they prove beside the one that is claimed."""
        from linesmith.cli.settings import resolve
        from linesmith.pipelines.audit import stage
        from linesmith.pipelines.audit.settings import AuditSettings

        if output is not None and "://" in output:
            raise ParameterError(
                f"LS117: --output '{output}' is an address, and audit works on a local run directory; copy the run, its "
                "training data included, and give the copy.",
                code="LS117",
            )
        settings = AuditSettings(
            records=records,
            canaries=canaries,
            gradients=gradients,
            seed=seed,
            reference=reference,
            overwrite=overwrite,
        )
        said = {} if output is None else {"checkpoint_dir": output}
        resolved = resolve(Given("generate", said, config))
        stage.check_audit(resolved, settings)
        load()
        return show(stage.audit(resolved, settings))

    return audit
