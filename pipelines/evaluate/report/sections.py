"""Sections of the report: fields, association, relations, validity, copies and leaks; each takes the report's content."""

from __future__ import annotations

from typing import Any

from linesmith.pipelines.evaluate.report import plots
from linesmith.pipelines.evaluate.report.elements import Child, figure, h, number, percent, table


def fields_section(body: dict[str, Any]) -> list[Child]:
    """Return the distance and the histogram of each field."""
    rows, figures = [], []
    for one in body["closeness"]["fields"]:
        parts = [f"{name} {number(pair['synthetic'])} ({number(pair['holdout'])})" for name, pair in one["parts"].items()
                 if pair["synthetic"] is not None]  # fmt: skip
        distance = one["distance"]
        rows.append(
            [one["name"], one["role"], number(distance["synthetic"]), number(distance["holdout"]), "; ".join(parts)]
        )
    for one, histogram in zip(body["closeness"]["fields"], body["pictures"], strict=True):
        source = plots.field_plot(histogram)
        if source is not None:
            distance = one["distance"]
            summary = f"distance {number(distance['synthetic'])}, unseen real {number(distance['holdout'])}"
            largest = _largest_difference(histogram)
            alt = f"Distribution of {one['name']} in {', '.join(histogram['shares'])}. {largest} Total {summary}."
            figures.append(figure(source, alt, [h("strong", one["name"]), f": {summary}"]))
    head = ["field", "treated as", "distance", "unseen real", "parts: synthetic (unseen real)"]
    return [
        h(
            "p",
            "How far the values of each field are from those of the training records: 0 is equal, 1 is nothing in common. "
            '"Unseen real" is the distance of real records that the model never saw, which is chance.',
        ),
        table("Distance of each field from training, 0 to 1", head, rows, (2, 3)),
        h("div", figures, class_="grid"),
    ]


def _largest_difference(histogram: dict[str, Any]) -> str:
    """Describe where synthetic and training differ most."""
    shares = histogram["shares"]
    if "synthetic" not in shares or "training" not in shares:
        return ""
    differences = [abs(a - b) for a, b in zip(shares["training"], shares["synthetic"], strict=True)]
    at = differences.index(max(differences))
    edges = histogram.get("edges")
    where = histogram["labels"][at] if edges is None else f"{edges[at]:.6g} to {edges[at + 1]:.6g}"
    return f"Largest difference at {where}: {shares['training'][at]:.1%} in training, {shares['synthetic'][at]:.1%} in synthetic."


def association_section(body: dict[str, Any]) -> list[Child]:
    """Return heat maps of the association between fields, and the pairs that differ most."""
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
            figures.append(figure(plots.heat_map(names, cells), alt, h("strong", name), "map"))
    cells = {(pair["fields"][0], pair["fields"][1]): pair["distance"]["synthetic"] for pair in pairs}
    alt = "Difference between synthetic and training; the largest are in the table below."
    figures.append(figure(plots.heat_map(names, cells), alt, h("strong", "lost or invented in synthetic"), "map"))
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
            "How strongly the value of one field depends on that of another: 0 is not at all, 1 is completely (Cramér's V of "
            "ranges and categories; for two numbers the difference takes rank correlation into account, too). The pictures of "
            "synthetic and training records should look alike.",
        ),
        h("div", figures, class_="grid wide"),
        table("The pairs that differ most", head, rows, (1, 2, 3, 4, 5, 6)),
    ]


def relations_section(body: dict[str, Any]) -> list[Child]:
    """Return the distances of relations and text, and the results of the classifiers."""
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
        h("p", "Differences between two numbers of a record, distances between places, and whole records as text."),
        table(
            "Distance from training, 0 to 1", head, rows + [["whole record: " + r[0], *r[1:]] for r in text], (1, 2, 3)
        ),
    ]
    if auc["synthetic"] is not None:
        result = (
            f"A classifier tells synthetic from training records with AUC {number(auc['synthetic'])} (0.5: it can only guess; 1: "
            "it is always right), "
        )
        content.append(h("p", result, f"and unseen real records from training records with {number(auc['holdout'])}."))
    if useful is not None:
        synthetic, training = (number(useful["score"][name], 2) for name in ("synthetic", "training"))
        result = f"Skill in predicting '{useful['field']}' of real records ({useful['measure']}): {synthetic} after learning "
        content.append(
            h("p", result, f"from synthetic records, {training} after learning from as many training records.")
        )
    return content


def validity_section(body: dict[str, Any]) -> list[Child]:
    """Return the share of valid records of each set, and why attempts were rejected while generating."""
    validity = body["closeness"]["validity"]
    content: list[Child] = []
    rows = [
        [name, percent(share), ", ".join(f"{reason}: {count:,}" for reason, count in validity["reasons"][name].items()) or "–",
         ", ".join(f"{k} ({v:,})" for k, v in validity["field_counts"][name].items())]
        for name, share in validity["share"].items()
    ]  # fmt: skip
    head = ["set", "valid", "reasons", "fields per record (records)"]
    content.append(
        table("Records with the right number of fields, each of a kind that occurs in training", head, rows, (1,))
    )
    counts = (body["context"].get("synthetic") or {}).get("counts") or {}
    reasons = counts.get("invalid_by_reason") or {}
    if counts.get("valid_rate") is not None:
        content.append(
            h("p", f"While generating, {percent(counts['valid_rate'])} of {counts['attempts']:,} attempts passed.")
        )
    if reasons:
        listed = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
        content.append(figure(plots.count_bars(reasons, "attempts rejected"), f"Attempts rejected: {listed}.",
                              "Why attempts were rejected while generating"))  # fmt: skip
    return content


def leaks_section(body: dict[str, Any]) -> list[Child]:
    """Return the tests for copies and what explains them: the model's own loss, shared runs, identifiers and examples."""
    safety = body["safety"]
    content = [
        *_leak_tests(safety),
        *_memorization(body["context"].get("memory")),
        *_shared_runs(safety["longest_runs"]),
    ]
    kinds = [[k["name"], f"{k['units']:,}", percent(k["share"]["training"]), percent(k["share"]["holdout"]),
              f"{k['low']:+.2%} to {k['high']:+.2%}"] for k in safety["identifier_kinds"] if k["units"]]  # fmt: skip
    if kinds:
        head = ["kind", "of each", "of training", "of holdout", "gap, interval"]
        content.append(table("Identifiers and rare values by kind", head, kinds, (1, 2, 3, 4)))
    examples = [[e["kind"], h("code", e["text"].replace("\n", " | ")), f"{e['times']:,}"] for e in safety["examples"]]
    if examples:
        caption = "Examples that occur once in training, and in the output"
        content.append(table(caption, ["kind", "text", "times"], examples, (2,)))
    return content


def _leak_tests(safety: dict[str, Any]) -> list[Child]:
    """Return the tests that decide the verdict on privacy, and how new the output is."""
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
    head = ["test", "examined", "of training", "of holdout", "gap, interval", "finding"]
    level = f"{safety['confidence_of_each_test']:.0%}"
    novelty, repeated = safety["novelty"], safety["repeated_texts"]
    return [
        h(
            "p",
            "How much of training reappears in the output, beside how much of the holdout, which the model never saw. Every text "
            "compared occurs exactly once in the two real sets together, so only memorization can make the first share larger "
            f"than the second. Intervals are at a level of {level} each, which makes 95% for all of them together.",
        ),
        table("Tests for copies", head, rows, (1, 2, 3, 4)),
        h(
            "p",
            f"{percent(novelty['synthetic'])} of the distinct synthetic records are not in training",
            "." if novelty["holdout"] is None else f"; of the holdout records {percent(novelty['holdout'])}.",
            " Texts that occur several times in training are common texts and not tested as copies: "
            f"{repeated['training']['reappear']:,} of {repeated['training']['texts']:,} such texts in the sample reappear.",
        ),
    ]


def _memorization(memory: dict[str, Any] | None) -> list[Child]:
    """Describe what the model, as opposed to its output, has memorized about single records."""
    if memory is None:
        return []
    bits, seen, unseen = memory["bits"], memory["units"]["training"], memory["units"]["holdout"]
    conclusion = (
        "It has memorized something about single records: guard the model more closely than its output."
        if memory["kept"]
        else "That is no more than chance gives."
    )
    text = (
        f"The model itself: its loss is {bits['training']:.4f} bits per token on records that it was trained on and "
        f"{bits['holdout']:.4f} on records that it never saw, over {seen:,} and {unseen:,} of them. The gap lies between "
        f"{memory['low']:+.4f} and {memory['high']:+.4f}; a training record has a lower loss than a holdout record in "
        f"{memory['auc']:.1%} of pairs ({memory['auc_low']:.1%} to {memory['auc_high']:.1%}, where 50% is chance). {conclusion}"
    )
    return [h("p", text)]


def _shared_runs(runs: dict[str, Any]) -> list[Child]:
    """Return the plot of the longest runs that the output shares with either real set."""
    if not runs["records"] or not runs["source_records"]:
        return []
    sides = []
    for name in ("training", "holdout"):
        counts = zip(runs[name], runs["lengths"], strict=True)
        sides.append(f"{name}: " + ", ".join(f"{count} at {length}" for count, length in counts if count))
    caption = (
        f"Longest run that {runs['records']:,} synthetic records share with {runs['source_records']:,} of each side"
    )
    return [figure(plots.shared_runs_plot(runs), f"Longest shared runs in bytes. {'; '.join(sides)}.", caption)]
