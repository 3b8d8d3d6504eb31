"""The audit on the page: what was planted, what it proved, and what is claimed."""

from __future__ import annotations

from typing import Any

from linesmith.model.privacy.audit.findings import findings
from linesmith.pipelines.evaluate.report.elements import Child, h, number, percent, table


def audit_section(context: dict[str, Any]) -> list[Child]:
    """Verdict, findings and figures of an audit; nothing where none was made."""
    audit = context.get("audit")
    if not isinstance(audit, dict):
        return []
    kind = "bad" if audit["refuted"] else "good" if audit["claim"] is not None else "unknown"
    content: list[Child] = [
        h("p", h("strong", audit["verdict"]), class_=f"word {kind}"),
        h("ul", [h("li", text) for text in findings(audit)]),
    ]
    head = ["canaries", "proved", "claimed", "guesses right", "canaries looked at"]
    rows = [_bounds("text", audit["text"]["canaries"], audit["text"]["bound"], audit["claim"])]
    if audit["gradients"] is not None:
        inside = audit["gradients"]
        rows.append(_bounds("gradients", inside["canaries"], inside["bound"], inside))
    content.append(table("Epsilon, proved at 95%", head, rows, (1, 2, 3, 4)))
    attacks = [
        [one["name"], number(one["membership"]["auc"]), number(one["exposure"]["mean"], 2),
         number(one["exposure"]["largest"], 1), _hits(one["membership"])]
        for one in audit["text"]["attacks"]
    ]  # fmt: skip
    head = ["told by", "AUC", "exposure, bits", "largest", "found at 1% false alarms"]
    content.append(table("Text canaries told apart", head, attacks, (1, 2, 3, 4)))
    return content


def _bounds(name: str, canaries: int, bound: dict[str, Any], claim: dict[str, Any] | None) -> list[Child]:
    right = f"{bound['right']:,} of {bound['guesses']:,}"
    claimed = None if claim is None else float(claim["epsilon"])
    return [name, number(bound["epsilon"], 2), number(claimed, 2), right, f"{canaries:,}"]


def _hits(found: dict[str, Any]) -> str:
    if found["hits"] is None:
        return "–"
    return f"{percent(found['hits'], 1)} ({percent(found['hits_low'], 1)} to {percent(found['hits_high'], 1)})"
