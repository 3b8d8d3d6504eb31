"""Privacy statement as text for a person, and the one way to show an epsilon."""

from __future__ import annotations

import math
from typing import Any


def format_epsilon(value: float | str) -> str:
    """Format an epsilon with four significant digits, rounded up: what is shown is never less than what is claimed.

    Args:
        value: a finite epsilon, infinity, or the word 'infinite' of a statement.

    Example:
        >>> format_epsilon(7.99412), format_epsilon(455.0), format_epsilon(0.0), format_epsilon("infinite")
        ('7.995', '455', '0', 'infinite')
    """
    if isinstance(value, str) or not math.isfinite(value):
        return "infinite"
    if value <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return f"{math.ceil(value / unit - 1e-9) * unit:.4g}"


def format_statement(facts: dict[str, Any]) -> str:
    """Format a privacy statement for a person to read, one line per idea.

    Args:
        facts: the statement, from `linesmith.model.privacy.statement.build_statement`.
    """
    accountant, spent, mechanism = facts["accountant"], facts["spent_so_far"], facts["mechanism"]
    unit = "user" if "users" in facts else "record"
    lines = [
        "What this model promises about the records it was trained on",
        "",
        f"Differential privacy with epsilon {format_epsilon(facts['epsilon'])} and delta {facts['delta']:g}. {facts['meaning']}",
        "",
        f"Unit: {facts['unit']}.",
        f"Adjacency: {facts['adjacency']}.",
        f"Sampler: {facts['sampler']}. sample_rate {facts['sample_rate']:.6g}, expected batch "
        f"{facts['expected_batch_size']:g} of {facts[unit + 's']} {unit}s (this number is treated as public).",
        f"Mechanism: {mechanism['what']}; noise multiplier {mechanism['noise_multiplier']:g}, clipping norm "
        f"{mechanism['l2_norm_clip']:g}{_adaptive_clipping_clause(mechanism['adaptive_clip'])}.",
        f"Accountant: {accountant['name']} ({accountant['library']}); second opinion "
        f"{accountant['second_opinion']['name']}: epsilon {format_epsilon(accountant['second_opinion']['epsilon'])}.",
        f"Steps: {facts['planned_steps']} planned, which is what epsilon above is for. Spent so far (no claim): "
        f"{spent['steps']} steps, epsilon {format_epsilon(spent['epsilon'])}.",
        f"Vocabulary: {facts['vocabulary']['mode']}, {facts['vocabulary']['what']}.",
        f"Validation: {facts['validation']['what']}.",
        f"Discriminator: {facts['discriminator']['what']}.",
        *_earlier_trainings_lines(facts["earlier_trainings"]),
        f"If one {unit} is changed instead of added or removed: epsilon {format_epsilon(facts['replace_one']['epsilon'])}, delta "
        f"{facts['replace_one']['delta']:.3g}.",
        *(_group_line(group, unit) for group in facts["group_privacy"]),
        f"Split: {facts['split']}.",
        f"Draws: {facts['generator']}.",
        *(
            ["UNSAFE: draws came from a fixed key; whoever knows it can undo them."]
            if facts["unsafe_fixed_key"]
            else []
        ),
        "",
        "Not covered:",
        *(f"- {name}: {why}." for name, why in facts["not_covered"].items()),
        "",
        f"Keep to yourself: {', '.join(facts['not_releasable'])}.",
    ]
    return "\n".join(lines) + "\n"


def _earlier_trainings_lines(earlier: dict[str, Any]) -> list[str]:
    if not earlier["count"]:
        return []
    together = format_epsilon(earlier["epsilon_with_this"])
    bound = "has no bound" if together == "infinite" else f"is bounded by epsilon {together}, not by the one above"
    return [
        f"BEFORE THIS ONE, {earlier['count']} trainings were begun or noised vocabularies drawn in the same run directory. If "
        f"they were on the same records, what all of them revealed {bound}."
    ]


def _group_line(group: dict[str, Any], unit: str) -> str:
    size, epsilon = group[f"{unit}s"], format_epsilon(group["epsilon"])
    example = f", such as a text that occurs {size} times" if unit == "record" else ""
    return f"For {size} {unit}s together{example}: epsilon {epsilon}, delta {group['delta']:.3g}."


def _adaptive_clipping_clause(clip: dict[str, float] | None) -> str:
    if clip is None:
        return ""
    return (
        f" at the start, then moved to the {clip['target_quantile']:g} quantile through a count with noise "
        f"{clip['count_noise']:g}, which is charged"
    )
