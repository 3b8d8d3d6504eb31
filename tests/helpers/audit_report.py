"""Handwritten content of an audit, for tests of its texts and its page."""

from __future__ import annotations

from typing import Any

from linesmith.model.privacy.audit.findings import audit_verdict


def audit_body(refuted: bool = False, claim: bool = True) -> dict[str, Any]:
    """Return the content of `audit.json`."""
    bound = {"epsilon": 1.25, "guesses": 100, "right": 80, "statistic": "loss"}
    attack = {
        "name": "loss",
        "membership": {"auc": 0.75, "hits": 0.1, "hits_low": 0.05, "hits_high": 0.2, "false_alarms": 0.01},
        "exposure": {"mean": 2.5, "largest": 7.6},
    }
    found = {
        "claim": {"epsilon": 2.0, "delta": 1e-6, "unit": "one record"} if claim else None,
        "text": {"canaries": 400, "included": 199, "records": 1000, "bound": bound, "attacks": [attack]},
        "gradients": {
            "epsilon": 2.0, "delta": 1e-6, "bound": bound, "canaries": 1000, "included": 500, "steps": 60,
            "draws": ["size"] if refuted else [], "refuted": refuted,
        } if claim else None,
        "neighbours": {"clip": 0.1, "moved": 0.0999, "released_moved": 0.0, "released_allowed": 0.0, "refuted": False}
        if claim else None,
    }  # fmt: skip
    return {**found, **audit_verdict(found)}
