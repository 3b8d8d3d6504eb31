"""The report as one page: verdict and reasons first, then what they rest on, then what was not looked at."""

from __future__ import annotations

from typing import Any

from pipelines import page_plots as plots
from pipelines.page_parts import Child, Element, figure, h, number, page, percent, section, table

_CLASS = {"close": "good", "no leak found": "good", "near": "fair", "unclear": "fair", "far": "bad", "leak": "bad"}
_WORDS = {
    "close": "Close to the real records",
    "near": "Near the real records",
    "far": "Far from the real records",
    "leak": "Leaks training records",
    "unclear": "Too few records to say",
    "no leak found": "No leak found",
    "not measured": "Not measured",
}


def render(body: dict[str, Any]) -> str:
    """The page of a report's content (`report.json`)."""
    context = body["context"]
    parts: list[tuple[str, str, list[Child]]] = [
        ("verdict", "Verdict", _verdict(body)),
        ("training", "Training", _training(context)),
        ("fields", "Field by field", _fields(body)),
        ("association", "Association between fields", _association(body)),
        ("relations", "Relations and text", _relations(body)),
        ("validity", "Validity", _validity(body)),
        ("leaks", "Copies and leaks", _leaks(body)),
        ("audit", "Audit", _audit(context)),
        ("samples", "Sample records", _samples(body)),
        ("not-covered", "What was not covered", [h("ul", [h("li", text) for text in body["not_covered"]])]),
        ("provenance", "Provenance", _provenance(body)),
    ]
    shown = [(key, title, content) for key, title, content in parts if content]
    links = [h("li", h("a", title, href=f"#{key}")) for key, title, _ in shown]
    return page(
        "Evaluation of synthetic records",
        [
            h("a", "Skip to the verdict", href="#verdict", class_="skip"),
            h("header", h("h1", "Evaluation of synthetic records"), _sizes(body), _banner(body),
              h("nav", h("ul", links), aria_label="Sections")),
            h("main", [section(key, title, content) for key, title, content in shown]),
            h("footer", h("p", "Written by Linesmith. All figures stand in report.json beside this page.")),
        ],
    )  # fmt: skip


def _sizes(body: dict[str, Any]) -> Element:
    told = [f"{size['records']:,} {name}" for name, size in body["sets"].items()]
    return h("p", "Records: " + ", ".join(told) + ".", class_="soft")


def _banner(body: dict[str, Any]) -> Element:
    private = " The model is private, this page is not: it lies among the files that must never leave." if body["context"].get(
        "private") else ""  # fmt: skip
    text = "This page contains raw data: records, values and counts of the real sets. Do not pass it on with the synthetic ones."
    return h("p", h("strong", text), private, class_="banner", role="note")


def _verdict(body: dict[str, Any]) -> list[Child]:
    words = body["verdict"]
    cards = []
    for key, title in (("closeness", "How close"), ("privacy", "How safe")):
        score = body["scores"][key]
        value = "not measured" if score["value"] is None else f"{score['value']:.2f} of 1"
        cards.append(
            h("div",
              h("h3", title),
              h("p", _WORDS[words[key]], class_=f"word {_CLASS.get(words[key], 'unknown')}"),
              h("ul", [h("li", reason) for reason in words[f"{key}_reasons"]]),
              h("p", h("strong", f"Score {value}"), f": {score['how']}.", class_="soft"),
              class_="card")
        )  # fmt: skip
    rows = [
        [one["name"], number(one["score"], 2), number(one["reachable"], 2), percent(one["ratio"], 0), one["how"]]
        for one in body["closeness"]["components"]
    ]
    head = ["component", "synthetic", "unseen real", "of reachable", "how it is computed"]
    return [
        h("div", cards, class_="verdicts"),
        h("h3", "What closeness is made of"),
        h("p", "Every figure stands beside the same figure for real records that the model never saw: no synthetic set can be "
          "expected to do better."),
        table("Components of closeness", head, rows, (1, 2, 3)),
    ]  # fmt: skip


def _training(context: dict[str, Any]) -> list[Child]:
    history = context.get("history") or []
    picture = plots.training_curve(history)
    if picture is None:
        return []
    last = history[-1]
    names = {"loss": "training loss", "val_loss": "validation loss", "epsilon": "epsilon spent"}
    told = ", ".join(f"{label} {number(last[key])}" for key, label in names.items() if last.get(key) is not None)
    content: list[Child] = [figure(picture, f"Curve over {len(history)} epochs. After the last: {told}.", f"After the last epoch: {told}.")]
    claim = context.get("privacy")
    if claim is not None:
        content.append(
            h("p", h("strong", f"Claim: epsilon {claim['epsilon']} at delta {claim['delta']:g}"),
              f", for {claim['unit']}, {claim['adjacency']}. {claim.get('meaning') or ''}")
        )  # fmt: skip
    return content


def _fields(body: dict[str, Any]) -> list[Child]:
    rows, figures = [], []
    for one in body["closeness"]["fields"]:
        parts = [f"{name} {number(pair['synthetic'])} ({number(pair['holdout'])})" for name, pair in one["parts"].items()
                 if pair["synthetic"] is not None]  # fmt: skip
        distance = one["distance"]
        rows.append([one["name"], one["role"], number(distance["synthetic"]), number(distance["holdout"]), "; ".join(parts)])
    for one, picture in zip(body["closeness"]["fields"], body["pictures"], strict=True):
        source = plots.field_picture(picture)
        if source is not None:
            distance = one["distance"]
            told = f"distance {number(distance['synthetic'])}, unseen real {number(distance['holdout'])}"
            alt = f"Distribution of {one['name']} in {', '.join(picture['shares'])}. {_largest(picture)} Total {told}."
            figures.append(figure(source, alt, [h("strong", one["name"]), f": {told}"]))
    head = ["field", "taken for", "distance", "unseen real", "parts: synthetic (unseen real)"]
    return [table("Distance of each field from training, 0 to 1", head, rows, (2, 3)), h("div", figures, class_="grid")]


def _largest(picture: dict[str, Any]) -> str:
    """Where synthetic and training differ most, in words."""
    shares = picture["shares"]
    if "synthetic" not in shares or "training" not in shares:
        return ""
    gaps = [abs(a - b) for a, b in zip(shares["training"], shares["synthetic"], strict=True)]
    at = gaps.index(max(gaps))
    if "labels" in picture:
        where = picture["labels"][at]
    else:
        where = f"{picture['edges'][at]:.6g} to {picture['edges'][at + 1]:.6g}"
    return f"Largest difference at {where}: {shares['training'][at]:.1%} in training, {shares['synthetic'][at]:.1%} in synthetic."


def _association(body: dict[str, Any]) -> list[Child]:
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
        h("p", "Cramér's V of ranges and categories, 0 (independent) to 1; for two numbers the difference also counts rank correlation."),
        h("div", figures, class_="grid wide"),
        table("The pairs that differ most", head, rows, (1, 2, 3, 4, 5, 6)),
    ]


def _relations(body: dict[str, Any]) -> list[Child]:
    close = body["closeness"]
    rows = [
        [one["name"], number(one["distance"]["synthetic"]), number(one["distance"]["holdout"]),
         f"{number(one['wasserstein']['synthetic'])} ({number(one['wasserstein']['holdout'])})"]
        for one in sorted(close["relations"], key=lambda one: -(one["distance"]["synthetic"] or 0))[:20]
    ]  # fmt: skip
    text = [[name, number(pair["synthetic"]), number(pair["holdout"]), "–"] for name, pair in close["text"].items()]
    head = ["what", "distance", "unseen real", "Wasserstein, in its unit"]
    auc, useful = close["classifier"]["auc"], close["usefulness"]
    content: list[Child] = [table("Distance from training, 0 to 1", head, rows + [["whole record: " + r[0], *r[1:]] for r in text], (1, 2, 3))]
    if auc["synthetic"] is not None:
        content.append(h("p", f"A classifier tells synthetic from training records with AUC {number(auc['synthetic'])} (0.5 is "
                         f"by chance); unseen real ones with {number(auc['holdout'])}."))  # fmt: skip
    if useful is not None:
        score = useful["score"]
        content.append(h("p", f"Predicting '{useful['field']}' of real records ({useful['measure']}): {number(score['synthetic'], 2)} "
                         f"after learning from synthetic, {number(score['training'], 2)} from as many training records."))  # fmt: skip
    return content


def _validity(body: dict[str, Any]) -> list[Child]:
    validity, content = body["closeness"]["validity"], []
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
        content.append(h("p", f"While generating, {percent(counts['valid_rate'])} of {counts['attempts']:,} attempts passed."))
    if reasons:
        told = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
        content.append(figure(plots.counts_picture(reasons, "attempts turned down"), f"Attempts turned down: {told}.",
                              "Why attempts were turned down while generating"))  # fmt: skip
    return content


def _leaks(body: dict[str, Any]) -> list[Child]:
    safety = body["safety"]
    rows = []
    for test in safety["tests"]:
        between = "–" if "texts" in test or "p_value" in test else f"{test['low']:+.2%} to {test['high']:+.2%}"
        found = h("strong", "leak", class_="bad") if test["leak"] else h("span", "none found", class_="good" if test["units"] else "soft")
        rows.append([test["name"], f"{test['units']:,}", percent(test["share"]["training"]), percent(test["share"]["holdout"]), between, found])
    head = ["test", "looked at", "of training", "of holdout", "gap, interval", "finding"]
    level = f"{safety['confidence_of_each_test']:.0%}"
    novelty, repeated = safety["novelty"], safety["repeated_texts"]
    content: list[Child] = [
        h("p", "What reappears of records that were learnt, beside what reappears of as many that were never seen. Each unit occurs "
          "once in the real sets together, so only learning by heart can make the first share larger than the second. "
          f"Intervals are at {level} each, which makes 95% for all together."),
        table("Tests for copies", head, rows, (1, 2, 3, 4)),
        h("p", f"{percent(novelty['synthetic'])} of the distinct synthetic records are not in training"
          + ("." if novelty["holdout"] is None else f"; of the holdout records {percent(novelty['holdout'])}.")
          + f" Texts that training repeats are common, not secret: {repeated['training']['reappear']:,} of "
          f"{repeated['training']['texts']:,} such texts in the sample reappear."),
    ]  # fmt: skip
    runs = safety["longest_runs"]
    if runs["records"] and runs["source_records"]:
        told = "; ".join(f"{name}: " + ", ".join(f"{n} at {length}" for n, length in zip(runs[name], runs["lengths"], strict=True) if n)
                         for name in ("training", "holdout"))  # fmt: skip
        content.append(figure(plots.runs_picture(runs), f"Longest shared runs in bytes. {told}.",
                              f"Longest run that {runs['records']:,} synthetic records share with {runs['source_records']:,} records of each side"))  # fmt: skip
    kinds = [[k["name"], f"{k['units']:,}", percent(k["share"]["training"]), percent(k["share"]["holdout"]),
              f"{k['low']:+.2%} to {k['high']:+.2%}"] for k in safety["identifier_kinds"] if k["units"]]  # fmt: skip
    if kinds:
        content.append(table("Identifiers and rare values by kind", ["kind", "of each", "of training", "of holdout", "gap, interval"], kinds, (1, 2, 3, 4)))
    if safety["examples"]:
        examples = [[e["kind"], h("code", e["text"].replace("\n", " | ")), f"{e['times']:,}"] for e in safety["examples"]]
        content.append(table("Examples: once in training, and in the output", ["kind", "text", "times"], examples, (2,)))
    return content


def _audit(context: dict[str, Any]) -> list[Child]:
    """Figures of an audit where one was made: its own top-level numbers and words."""
    audit = context.get("audit")
    if not isinstance(audit, dict):
        return []
    rows = [[key.replace("_", " "), number(v) if isinstance(v, int | float) else str(v)] for key, v in audit.items()
            if isinstance(v, int | float | str)]  # fmt: skip
    return [table("Audit", ["what", "value"], rows)] if rows else []


def _samples(body: dict[str, Any]) -> list[Child]:
    columns = []
    for name, records in body["samples"].items():
        lines = []
        for record in records:
            pieces: list[Child] = []
            for place, value in enumerate(record):
                pieces += [h("span", " | ", class_="sep"), value] if place else [value]
            lines.append(h("p", pieces, class_="record"))
        columns.append(h("div", h("h3", name.capitalize()), lines))
    return [h("p", "Chosen by hash, not by looks."), h("div", columns, class_="columns")]


def _provenance(body: dict[str, Any]) -> list[Child]:
    source, context = body["provenance"], body["context"]
    rows = [["runner", source["runner"]]]
    rows += [[f"{name} files", f"{len(files):,}: " + ", ".join(file.rsplit("/", 1)[-1] for file in files[:3]) + (" …" if len(files) > 3 else "")]
             for name, files in source["files"].items()]  # fmt: skip
    rows += [[key, str(value)] for key, value in (context.get("settings") or {}).items()]
    model = (context.get("synthetic") or {}).get("model") or {}
    rows += [[key.replace("_", " "), str(value)] for key, value in model.items() if value is not None]
    rows += [[name, version] for name, version in source["versions"].items()]
    schema = [[one["name"], one["role"], ", ".join(one["kinds"])] for one in body["schema"]]
    return [
        table("Where it comes from", ["what", "value"], rows),
        table("Fields as they were taken", ["field", "role", "kinds allowed"], schema),
    ]
