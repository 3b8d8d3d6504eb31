"""The figures of a report, section by section: fields, association, relations, validity, copies."""

from __future__ import annotations

from typing import Any

from linesmith.pipelines.evaluate.report import plots
from linesmith.pipelines.evaluate.report.elements import Child, figure, h, number, percent, table


def fields_section(body: dict[str, Any]) -> list[Child]:
    rows, figures = [], []
    for one in body["closeness"]["fields"]:
        parts = [f"{name} {number(pair['synthetic'])} ({number(pair['holdout'])})" for name, pair in one["parts"].items()
                 if pair["synthetic"] is not None]  # fmt: skip
        distance = one["distance"]
        rows.append(
            [one["name"], one["role"], number(distance["synthetic"]), number(distance["holdout"]), "; ".join(parts)]
        )
    for one, picture in zip(body["closeness"]["fields"], body["pictures"], strict=True):
        source = plots.field_picture(picture)
        if source is not None:
            distance = one["distance"]
            told = f"distance {number(distance['synthetic'])}, unseen real {number(distance['holdout'])}"
            alt = f"Distribution of {one['name']} in {', '.join(picture['shares'])}. {_largest(picture)} Total {told}."
            figures.append(figure(source, alt, [h("strong", one["name"]), f": {told}"]))
    head = ["field", "taken for", "distance", "unseen real", "parts: synthetic (unseen real)"]
    return [
        table("Distance of each field from training, 0 to 1", head, rows, (2, 3), notes=True),
        h("div", figures, class_="grid"),
    ]


def _largest(picture: dict[str, Any]) -> str:
    """Where synthetic and training differ most, in words."""
    shares = picture["shares"]
    if "synthetic" not in shares or "training" not in shares:
        return ""
    gaps = [abs(a - b) for a, b in zip(shares["training"], shares["synthetic"], strict=True)]
    at = gaps.index(max(gaps))
    edges = picture.get("edges")
    where = picture["labels"][at] if edges is None else f"{edges[at]:.6g} to {edges[at + 1]:.6g}"
    return f"Largest difference at {where}: {shares['training'][at]:.1%} in training, {shares['synthetic'][at]:.1%} in synthetic."


def association_section(body: dict[str, Any]) -> list[Child]:
    pairs = body["closeness"]["pairs"]
    if not pairs:
        return []
    names = [one["name"] for one in body["schema"] if any(one["name"] in pair["fields"] for pair in pairs)]
    figures = []
    for name in ("training", "holdout", "synthetic"):
        if name in body["sets"]:
            cells = {(pair["fields"][0], pair["fields"][1]): pair["strength"].get(name) for pair in pairs}
            strongest = max(cells, key=lambda key: cells[key] or 0)
            alt = f"Association in {name}; strongest between {strongest[0]} and {strongest[1]}: {number(cells[strongest])}."
            figures.append(figure(plots.heat_map(names, cells), alt, h("strong", name)))
    cells = {(pair["fields"][0], pair["fields"][1]): pair["distance"]["synthetic"] for pair in pairs}
    alt = "Difference between synthetic and training; the largest are in the table below."
    figures.append(figure(plots.heat_map(names, cells), alt, h("strong", "lost or invented in synthetic")))
    worst = sorted(pairs, key=lambda pair: -(pair["distance"]["synthetic"] or 0))[:12]
    rows = [
        [" × ".join(pair["fields"]), *(number(pair["strength"].get(n)) for n in ("training", "holdout", "synthetic")),
         number(pair["distance"]["synthetic"]), number(pair["distance"]["holdout"]), number(pair["joint"]["synthetic"])]
        for pair in worst
    ]  # fmt: skip
    head = ["pair", "training", "holdout", "synthetic", "difference", "unseen real", "joint distance"]
    return [
        h(
            "p",
            "Cramér's V of ranges and categories, 0 (independent) to 1; for two numbers the difference counts rank "
            "correlation, too.",
        ),
        h("div", figures, class_="grid wide"),
        table("The pairs that differ most", head, rows, (1, 2, 3, 4, 5, 6)),
    ]


def relations_section(body: dict[str, Any]) -> list[Child]:
    close = body["closeness"]
    rows = [
        [one["name"], number(one["distance"]["synthetic"]), number(one["distance"]["holdout"]),
         f"{number(one['wasserstein']['synthetic'])} ({number(one['wasserstein']['holdout'])})"]
        for one in sorted(close["relations"], key=lambda one: -(one["distance"]["synthetic"] or 0))[:20]
    ]  # fmt: skip
    text = [[name, number(pair["synthetic"]), number(pair["holdout"]), "–"] for name, pair in close["text"].items()]
    head = ["what", "distance", "unseen real", "Wasserstein, in its unit"]
    auc, useful = close["classifier"]["auc"], close["usefulness"]
    content: list[Child] = [
        table(
            "Distance from training, 0 to 1", head, rows + [["whole record: " + r[0], *r[1:]] for r in text], (1, 2, 3)
        )
    ]
    if auc["synthetic"] is not None:
        told = f"A classifier tells synthetic from training records with AUC {number(auc['synthetic'])} (0.5 is by chance); "
        content.append(h("p", told, f"unseen real ones with {number(auc['holdout'])}."))
    if useful is not None:
        made, real = (number(useful["score"][name], 2) for name in ("synthetic", "training"))
        told = f"Predicting '{useful['field']}' of real records ({useful['measure']}): {made} after learning from synthetic, "
        content.append(h("p", told, f"{real} from as many training records."))
    return content


def validity_section(body: dict[str, Any]) -> list[Child]:
    validity = body["closeness"]["validity"]
    content: list[Child] = []
    rows = [
        [name, percent(share), ", ".join(f"{reason}: {count:,}" for reason, count in validity["reasons"][name].items()) or "–",
         ", ".join(f"{k} ({v:,})" for k, v in validity["field_counts"][name].items())]
        for name, share in validity["share"].items()
    ]  # fmt: skip
    head = ["set", "valid", "reasons", "fields a record (records)"]
    content.append(table("Right number of fields, each of a kind that training has there", head, rows, (1,)))
    counts = (body["context"].get("synthetic") or {}).get("counts") or {}
    reasons = counts.get("invalid_by_reason") or {}
    if counts.get("valid_rate") is not None:
        content.append(
            h("p", f"While generating, {percent(counts['valid_rate'])} of {counts['attempts']:,} attempts passed.")
        )
    if reasons:
        told = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
        content.append(figure(plots.counts_picture(reasons, "attempts turned down"), f"Attempts turned down: {told}.",
                              "Why attempts were turned down while generating"))  # fmt: skip
    return content


def leaks_section(body: dict[str, Any]) -> list[Child]:
    safety = body["safety"]
    rows = []
    for test in safety["tests"]:
        between = "–" if "texts" in test or "p_value" in test else f"{test['low']:+.2%} to {test['high']:+.2%}"
        found = (
            h("strong", "leak", class_="bad")
            if test["leak"]
            else h("span", "none found", class_="good" if test["units"] else "soft")
        )
        rows.append(
            [
                test["name"],
                f"{test['units']:,}",
                percent(test["share"]["training"]),
                percent(test["share"]["holdout"]),
                between,
                found,
            ]
        )
    head = ["test", "looked at", "of training", "of holdout", "gap, interval", "finding"]
    level = f"{safety['confidence_of_each_test']:.0%}"
    novelty, repeated = safety["novelty"], safety["repeated_texts"]
    content: list[Child] = [
        h(
            "p",
            "What reappears of records that were learnt, beside what reappears of as many that were never seen. Each unit "
            "occurs once in the real sets together, so only learning by heart can make the first share larger than the second. "
            f"Intervals are at {level} each, which makes 95% for all together.",
        ),
        table("Tests for copies", head, rows, (1, 2, 3, 4)),
        h(
            "p",
            f"{percent(novelty['synthetic'])} of the distinct synthetic records are not in training",
            "." if novelty["holdout"] is None else f"; of the holdout records {percent(novelty['holdout'])}.",
            f" Texts that training repeats are common, not secret: {repeated['training']['reappear']:,} of "
            f"{repeated['training']['texts']:,} such texts in the sample reappear.",
        ),
    ]
    content += _memory(body["context"].get("memory"))
    content += _runs(safety["longest_runs"])
    kinds = [[k["name"], f"{k['units']:,}", percent(k["share"]["training"]), percent(k["share"]["holdout"]),
              f"{k['low']:+.2%} to {k['high']:+.2%}"] for k in safety["identifier_kinds"] if k["units"]]  # fmt: skip
    if kinds:
        content.append(
            table(
                "Identifiers and rare values by kind",
                ["kind", "of each", "of training", "of holdout", "gap, interval"],
                kinds,
                (1, 2, 3, 4),
            )
        )
    if safety["examples"]:
        examples = [
            [e["kind"], h("code", e["text"].replace("\n", " | ")), f"{e['times']:,}"] for e in safety["examples"]
        ]
        content.append(
            table("Examples: once in training, and in the output", ["kind", "text", "times"], examples, (2,))
        )
    return content


def _memory(memory: dict[str, Any] | None) -> list[Child]:
    """What the model, not its output, knows of single records."""
    if memory is None:
        return []
    bits, seen, unseen = memory["bits"], memory["units"]["training"], memory["units"]["holdout"]
    word = (
        "It has kept something of single records: guard the model more closely than its output."
        if memory["kept"]
        else "That is no more than chance gives."
    )
    told = (
        f"The model itself: a record that it learnt from costs it {bits['training']:.4f} bits a token, one that it never saw "
        f"{bits['holdout']:.4f}, over {seen:,} and {unseen:,} of them. The gap lies between {memory['low']:+.4f} "
        f"and {memory['high']:+.4f}; a record it saw costs less than one it did not in {memory['auc']:.1%} of pairs "
        f"({memory['auc_low']:.1%} to {memory['auc_high']:.1%}, where 50% is chance). {word}"
    )
    return [h("p", told)]


def _runs(runs: dict[str, Any]) -> list[Child]:
    """The longest run that output shares with either side."""
    if not runs["records"] or not runs["source_records"]:
        return []
    sides = []
    for name in ("training", "holdout"):
        counts = zip(runs[name], runs["lengths"], strict=True)
        sides.append(f"{name}: " + ", ".join(f"{count} at {length}" for count, length in counts if count))
    caption = (
        f"Longest run that {runs['records']:,} synthetic records share with {runs['source_records']:,} of each side"
    )
    return [figure(plots.runs_picture(runs), f"Longest shared runs in bytes. {'; '.join(sides)}.", caption)]
