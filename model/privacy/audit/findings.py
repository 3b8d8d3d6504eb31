"""Result of an audit in sentences: whether the claim is refuted, what was found, and what an audit does not show."""

from __future__ import annotations

from typing import Any

AUDIT_LIMITATIONS = (
    "What an audit does not find may still be there. It was made with few records and a small network of the same settings, "
    "and says nothing about the trained model itself."
)


def audit_verdict(body: dict[str, Any]) -> dict[str, Any]:
    """Compare the claim with what was proved.

    Args:
        body: the content of an audit, with the keys claim, text, gradients and neighbours.

    Returns:
        The values of `refuted` and `verdict` in `audit.json`.
    """
    claim, proved = body["claim"], body["text"]["bound"]["epsilon"]
    if claim is None:
        verdict = (
            f"There is no claim. Canaries prove that no epsilon below {proved:.2f} holds for such training (95% confidence)."
            if proved
            else "There is no claim, and these canaries proved nothing against one."
        )
        return {"refuted": False, "verdict": verdict}
    trainer_audits = [part for part in (body["gradients"], body["neighbours"]) if part is not None]
    refuted = proved > float(claim["epsilon"]) or any(part["refuted"] for part in trainer_audits)
    verdict = (
        f"The claim is REFUTED: epsilon {float(claim['epsilon']):.2f} is claimed, and is not what this training gives."
        if refuted
        else f"The claim of epsilon {float(claim['epsilon']):.2f} was not refuted."
    )
    return {"refuted": refuted, "verdict": verdict}


def findings(body: dict[str, Any]) -> list[str]:
    """Return the findings as sentences, at least one per attack, and the limitations of an audit at the end.

    Args:
        body: the content of `audit.json`.
    """
    sentences = [_text_finding(body["text"])]
    if body["gradients"] is not None:
        sentences += _gradient_findings(body["gradients"])
    if body["neighbours"] is not None:
        sentences += _neighbor_findings(body["neighbours"])
    return [*sentences, AUDIT_LIMITATIONS]


def _text_finding(text: dict[str, Any]) -> str:
    best = max(text["attacks"], key=lambda attack: attack["membership"]["auc"] or 0)
    auc, exposure = best["membership"]["auc"], best["exposure"]
    bound = f"{text['canaries']:,} text canaries among {text['records']:,} records: {_bound(text['bound'])}"
    if auc is None:
        return bound + "."
    return (
        f"{bound}; the attack by {best['name']} tells included from excluded ones with AUC {auc:.3f} (0.5 by chance), exposure "
        f"{exposure['mean']:.2f} bits on average (1.44 by chance), {exposure['largest']:.1f} at most."
    )


def _gradient_findings(gradients: dict[str, Any]) -> list[str]:
    sentences = [
        f"{gradients['canaries']:,} canary gradients over {gradients['steps']:,} steps: {_bound(gradients['bound'])}, where "
        f"{gradients['epsilon']:.2f} is claimed."
    ]
    if gradients["draws"]:
        sentences.append(
            f"Units are not drawn as the claim assumes: {', '.join(gradients['draws'])} (one false alarm in 1,000)."
        )
    return sentences


def _neighbor_findings(neighbors: dict[str, Any]) -> list[str]:
    relation = "more than" if neighbors["moved"] > neighbors["clip"] else "within"
    sentences = [
        f"One record moved the sum of a step by {neighbors['moved']:.4f}, {relation} the clipping norm {neighbors['clip']:.4g}."
    ]
    if neighbors["released_moved"] > neighbors["released_allowed"]:
        sentences.append(
            "One validation record changed what is shown after an epoch, and nothing was charged for that."
        )
    return sentences


def _bound(bound: dict[str, Any]) -> str:
    if not bound["epsilon"]:
        return "no epsilon is refuted"
    return (
        f"no epsilon below {bound['epsilon']:.2f} holds ({bound['right']} of {bound['guesses']} guesses right, by "
        f"{bound['statistic']})"
    )
