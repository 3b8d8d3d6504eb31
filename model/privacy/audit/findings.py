"""An audit in words: what was refuted, what was found, and what it does not show."""

from __future__ import annotations

from typing import Any

LIMITS = (
    "What an audit does not find may still be there. It was made on few records and a small network of the same settings, and "
    "says nothing about the one model that lies here."
)


def verdict(body: dict[str, Any]) -> dict[str, Any]:
    """refuted and verdict of an audit's content."""
    claim, text = body["claim"], body["text"]
    proved = text["bound"]["epsilon"]
    if claim is None:
        words = (
            f"There is no claim. Canaries prove that no epsilon below {proved:.2f} holds for such training (95% confidence)."
            if proved
            else "There is no claim, and these canaries proved nothing against one."
        )
        return {"refuted": False, "verdict": words}
    inside = [part for part in (body["gradients"], body["neighbours"]) if part is not None]
    refuted = proved > float(claim["epsilon"]) or any(part["refuted"] for part in inside)
    words = (
        f"The claim is REFUTED: epsilon {float(claim['epsilon']):.2f} is claimed, and is not what this training gives."
        if refuted
        else f"The claim of epsilon {float(claim['epsilon']):.2f} was not refuted."
    )
    return {"refuted": refuted, "verdict": words}


def findings(body: dict[str, Any]) -> list[str]:
    """One sentence a look."""
    said = [_text(body["text"])]
    gradients, near = body["gradients"], body["neighbours"]
    if gradients is not None:
        said.append(
            f"{gradients['canaries']:,} canary gradients over {gradients['steps']:,} steps: {_bound(gradients['bound'])}, where "
            f"{gradients['epsilon']:.2f} is claimed."
        )
        if gradients["draws"]:
            said.append(
                f"Units are not drawn as the claim assumes: {', '.join(gradients['draws'])} (one false alarm in 1,000)."
            )
    if near is not None:
        over = "more than" if near["moved"] > near["clip"] else "within"
        said.append(
            f"One record moved a step's sum by {near['moved']:.4f}, {over} the clipping norm {near['clip']:.4g}."
        )
        if near["released_moved"] > near["released_allowed"]:
            said.append("A validation record moved what is shown after an epoch, which nothing charges.")
    said.append(LIMITS)
    return said


def _text(text: dict[str, Any]) -> str:
    best = max(text["attacks"], key=lambda attack: attack["membership"]["auc"] or 0)
    auc, exposure = best["membership"]["auc"], best["exposure"]
    told = f"{text['canaries']:,} text canaries among {text['records']:,} records: {_bound(text['bound'])}"
    if auc is None:
        return told + "."
    return (
        f"{told}; by {best['name']}, included ones are told from excluded ones with AUC {auc:.3f} (0.5 is by chance), exposure "
        f"{exposure['mean']:.2f} bits on average (1.44 by chance), {exposure['largest']:.1f} at most."
    )


def _bound(bound: dict[str, Any]) -> str:
    if not bound["epsilon"]:
        return "no epsilon is refuted"
    return (
        f"no epsilon below {bound['epsilon']:.2f} holds ({bound['right']} of {bound['guesses']} guesses right, by "
        f"{bound['statistic']})"
    )
