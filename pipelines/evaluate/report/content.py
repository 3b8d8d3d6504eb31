"""The content of `report.json`: every figure, the scores and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.manifest import FORMAT_VERSION

if TYPE_CHECKING:
    from linesmith.evaluation.closeness import EvaluationData

REPORT_VERSION = 1


def report_content(data: EvaluationData, target: str | None = None) -> dict[str, Any]:
    """Measure everything and return the content of `report.json` except `context`, `provenance` and `not_covered`.

    Args:
        data: results of the two passes.
        target: field to predict for the component `usefulness`; None chooses one.
    """
    from linesmith.evaluation import closeness
    from linesmith.evaluation.classifiers import discriminator_auc, train_synthetic_test_real
    from linesmith.evaluation.histograms import field_histograms, sample_records
    from linesmith.evaluation.leakage import measure_leakage
    from linesmith.evaluation.schema import schema_to_json
    from linesmith.evaluation.verdict import closeness_components, compute_scores, compute_verdict

    parts: dict[str, Any] = {
        "fields": closeness.compare_fields(data),
        "pairs": closeness.compare_pairs(data),
        "relations": closeness.compare_relations(data),
        "text": closeness.compare_text(data),
        "validity": closeness.compare_validity(data),
        "classifier": discriminator_auc(data),
        "usefulness": train_synthetic_test_real(data, target),
    }
    safety = measure_leakage(data)
    components = closeness_components({**parts, "safety": safety})
    sizes = {name: counts.records for name, counts in data.counts.items()}
    scores = compute_scores(components, safety, sizes.get("holdout", 0))
    return {
        "format_version": FORMAT_VERSION,
        "report_version": REPORT_VERSION,
        "contains_raw_data": True,
        "scores": scores,
        "verdict": compute_verdict(safety, components, scores, sizes),
        "sets": {
            name: {"records": size, "distinct": round(data.profiles[name].distinct.estimate)}
            for name, size in sizes.items()
        },
        "schema": schema_to_json(data.schema),
        "fields_not_compared": data.schema.field_count - len(data.schema.fields),
        "closeness": {"components": components, **parts},
        "safety": safety,
        "pictures": field_histograms(data),
        "samples": sample_records(data),
    }
