"""The two passes over all sets, each one Beam pipeline: profiles first, then counts against the schema inferred from them.

Both keep sketches, counts and samples of bounded size, so memory does not grow with the sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json
from linesmith.core.errors import DataError
from linesmith.pipelines.evaluate.input_units import EvaluationSets

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.evaluation.closeness import EvaluationData
    from linesmith.evaluation.schema_counts import CountPlan


def collect_evaluation_data(
    sets: EvaluationSets, options: PipelineOptions, scratch: Path, roles: Mapping[str, str], sample: int
) -> EvaluationData:
    """Run both passes over the sets.

    Args:
        sets: units to read, and the names of the fields.
        options: where the pipelines run.
        scratch: folder for the results of the passes; driver and workers share it.
        roles: roles of fields by name; those of the other fields are inferred.
        sample: largest number of records and of identifiers to sample from each set.

    Returns:
        The schema, and the profile and counts of each set that has records.

    Raises:
        DataError: the training or the synthetic set holds no record, or the workers' results are not in `scratch`.
    """
    from linesmith.evaluation.closeness import EvaluationData
    from linesmith.evaluation.leakage_candidates import choose_tracked_hashes
    from linesmith.evaluation.schema import CATEGORY, infer_dataset_schema
    from linesmith.evaluation.schema_counts import CountPlan
    from linesmith.transforms.profile_evaluation_sets import profile_fn, schema_counts_fn

    profiles = _run_pass(sets, options, scratch / "profiles", profile_fn(sample))
    for name, option in (("training", "real"), ("synthetic", "synthetic")):
        if name not in profiles:
            raise DataError(
                "LS207",
                f"--{option}",
                f"the {name} set holds no record",
                "Give files with records; otherwise there is nothing to compare.",
            )
    schema = infer_dataset_schema(profiles["training"], sets.names, roles)
    categories = [number for number, field in enumerate(schema.fields) if field.role == CATEGORY]
    plan = CountPlan(schema, choose_tracked_hashes(profiles, categories))
    counts = _run_pass(sets, options, scratch / "counts", schema_counts_fn(plan), plan)
    return EvaluationData(schema, profiles, counts)


def _run_pass(
    sets: EvaluationSets,
    options: PipelineOptions,
    directory: Path,
    combiner: beam.CombineFn,
    plan: CountPlan | None = None,
) -> dict[str, Any]:
    """Run one pipeline over all units and return its results by set."""
    import apache_beam as beam

    from linesmith.evaluation.closeness import SETS
    from linesmith.evaluation.serialization import from_json
    from linesmith.transforms.profile_evaluation_sets import ProfileEvaluationSets
    from linesmith.transforms.worker_errors import reraise_worker_errors

    directory.mkdir(parents=True)
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        _ = pipeline | ProfileEvaluationSets(sets.units, combiner, directory)
    found = {name: directory / f"{name}.json" for name in SETS}
    if sets.units and not any(path.is_file() for path in found.values()):
        raise DataError(
            "LS402",
            None,
            f"the pipeline ended but its results are not in '{directory}': its workers do not share this file system, "
            "or the sets are empty",
            "Give an --output on a file system that driver and workers mount at the same place.",
        )
    return {
        name: from_json(read_json(path, "the counts", limited=False), plan)
        for name, path in found.items()
        if path.is_file()
    }
