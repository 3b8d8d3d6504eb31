"""Settings of the whole run: input, run directory, seed and hardware."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from linesmith.core.config.setting_field import setting


class RunSettings(BaseModel):
    """Settings that several stages use."""

    input_data_path: str | list[str] | None = setting(
        "run", None, "Input files: a path, a glob, an http(s) or bucket address, or several of them.", path="streamed"
    )
    input_catalog: list[str] | None = setting(
        "run",
        None,
        "With input_format iceberg, the catalog of the tables that the input names: its URI, or key=value properties; unset: "
        "that of pyiceberg's configuration named linesmith. Secrets belong in PYICEBERG_CATALOG__LINESMITH__* variables.",
    )
    checkpoint_dir: str | None = setting(
        "run", None, "The run directory, which every stage reads and writes.", path="written"
    )
    overwrite: bool = setting("run", False, "Replace what an earlier, complete run left in the run directory.")
    seed: int = setting("run", 0, "Seed of everything random. Same seed and data: same bytes.", ge=0, le=2**63 - 1)

    refuse_pii: bool = setting(
        "run",
        False,
        "End with exit code 2 where columns that look like identifiers or personal data would be learned; a column_role, learn "
        "included, decides for a column.",
    )
    report: bool = setting("run", True, "End a run with an evaluation of its records and a report of one page.")
    matmul_precision: Literal["auto", "float32", "bfloat16", "int8"] = setting(
        "run",
        "auto",
        "Precision of matrix products; cell states and the last layer are float32 in any case. auto: in training "
        "bfloat16 if the processor has instructions for it, else float32; in generation int8. In training int8 means auto, in "
        "generation bfloat16 means float32.",
    )
    devices: int | None = setting(
        "run",
        None,
        "GPUs that share the rows of each training batch; unset: all that are visible. Differential privacy takes one.",
        ge=1,
    )
