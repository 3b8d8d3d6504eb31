"""The audit section of the page: which canaries were planted, what they prove, and what is claimed."""

from __future__ import annotations

from typing import Any

from linesmith.model.privacy.audit.findings import findings
from linesmith.pipelines.evaluate.report.elements import Child, h, number, percent, table


def audit_section(context: dict[str, Any]) -> list[Child]:
    """Return verdict, findings and figures of an audit; nothing where there is none in the context."""
    audit = context.get("audit")
    if not isinstance(audit, dict):
        return []
    style = "bad" if audit["refuted"] else "good" if audit["claim"] is not None else "unknown"
    content: list[Child] = [
        h("p", h("strong", audit["verdict"]), class_=f"word {style}"),
        h("ul", [h("li", text) for text in findings(audit)]),
    ]
    head = ["canaries", "proved", "claimed", "correct guesses", "canaries examined"]
    rows = [_bounds("text", audit["text"]["canaries"], audit["text"]["bound"], audit["claim"])]
    if audit["gradients"] is not None:
        gradients = audit["gradients"]
        rows.append(_bounds("gradients", gradients["canaries"], gradients["bound"], gradients))
    content.append(table("Epsilon, proved at 95%", head, rows, (1, 2, 3, 4)))
    attacks = [
        [one["name"], number(one["membership"]["auc"]), number(one["exposure"]["mean"], 2),
         number(one["exposure"]["largest"], 1), _hits(one["membership"])]
        for one in audit["text"]["attacks"]
    ]  # fmt: skip
    head = ["score", "AUC", "exposure, bits", "largest", "found at 1% false alarms"]
    content.append(table("Telling included text canaries from the others", head, attacks, (1, 2, 3, 4)))
    return content


def _bounds(name: str, canaries: int, bound: dict[str, Any], claim: dict[str, Any] | None) -> list[Child]:
    correct = f"{bound['right']:,} of {bound['guesses']:,}"
    claimed = None if claim is None else float(claim["epsilon"])
    return [name, number(bound["epsilon"], 2), number(claimed, 2), correct, f"{canaries:,}"]


def _hits(found: dict[str, Any]) -> str:
    if found["hits"] is None:
        return "–"
    return f"{percent(found['hits'], 1)} ({percent(found['hits_low'], 1)} to {percent(found['hits_high'], 1)})"
