"""The report as one page: verdict and reasons first, then the figures behind them, then what was not covered."""

from __future__ import annotations

import math
from typing import Any

from linesmith.evaluation.labels import COMPONENT_LABELS
from linesmith.pipelines.evaluate.report import plots, sections
from linesmith.pipelines.evaluate.report.audit_section import audit_section
from linesmith.pipelines.evaluate.report.elements import (
    Child,
    Element,
    figure,
    h,
    number,
    page,
    percent,
    section,
    stale_note,
    table,
)
from linesmith.pipelines.evaluate.report.words import SET_WORDS, VERDICT_WORDS

_CLASS = {"close": "good", "no leak found": "good", "near": "fair", "unclear": "fair", "far": "bad", "leak": "bad"}


def render(body: dict[str, Any]) -> str:
    """Return the page of a report as HTML.

    Args:
        body: content of `report.json`.
    """
    context = body["context"]
    parts: list[tuple[str, str, list[Child]]] = [
        ("verdict", "Verdict", _verdict(body)),
        ("training", "Training", _training(context)),
        ("fields", "Field by field", sections.fields_section(body)),
        ("association", "Which values occur together", sections.association_section(body)),
        ("relations", "Relations and text", sections.relations_section(body)),
        ("validity", "Records of the right form", sections.validity_section(body)),
        ("leaks", "Copies and leaks", sections.leaks_section(body)),
        ("audit", "Audit", audit_section(context)),
        ("samples", "Sample records", _samples(body)),
        ("not-covered", "What was not covered", [h("ul", [h("li", text) for text in body["not_covered"]])]),
        ("provenance", "Files, settings and versions", _provenance(body)),
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
            h("footer", h("p", "Written by Linesmith. All figures are in report.json beside this page.")),
        ],
    )  # fmt: skip


def _sizes(body: dict[str, Any]) -> Element:
    sizes = [
        h("li", h("strong", f"{size['records']:,} {name}"), _sample_words(size), f": {SET_WORDS[name]}")
        for name, size in body["sets"].items()
    ]
    return h("ul", sizes, class_="soft sets")


def _sample_words(size: dict[str, Any]) -> str | None:
    return f" (a uniform sample of {size['sample_of']:,})" if "sample_of" in size else None


def _banner(body: dict[str, Any]) -> Element:
    private = None
    if body["context"].get("private"):
        private = " The model is private, but this page is not: it is among the files that must never be published."
    text = (
        "This page contains raw data: records, values and counts of the real sets. Do not publish it together with the "
        "synthetic records."
    )
    notes = [h("p", h("strong", text), private, class_="banner", role="note")]
    if body.get("stale"):
        notes.insert(0, stale_note())
    return h("div", notes)


def _verdict(body: dict[str, Any]) -> list[Child]:
    verdict = body["verdict"]
    cards = []
    for key, title in (("closeness", "Are they like the real records?"), ("privacy", "Were training records copied?")):
        score = body["scores"][key]
        value = "not measured" if score["value"] is None else f"{score['value']:.2f} of 1"
        cards.append(
            h("div",
              h("h3", title),
              h("p", VERDICT_WORDS[verdict[key]], class_=f"word {_CLASS.get(verdict[key], 'unknown')}"),
              h("ul", [h("li", reason) for reason in verdict[f"{key}_reasons"]]),
              h("p", h("strong", f"Score {value}"), f": {score['how']}.", class_="soft"),
              class_="card")
        )  # fmt: skip
    rows = [
        [
            h(
                "strong",
                COMPONENT_LABELS.get(one["name"], one["name"]),
                h("br"),
                h("span", one["name"], class_="soft key"),
            ),
            number(one["score"], 2),
            number(one["reachable"], 2),
            percent(one["ratio"], 0),
            one["how"],
        ]
        for one in body["closeness"]["components"]
    ]
    head = ["part", "synthetic", "unseen real", "reached", "how it is computed"]
    steps = body.get("next_steps")  # not in an older report
    return [
        h("div", cards, class_="verdicts"),
        h("div", h("h3", "What to do next"), h("ul", [h("li", step) for step in steps]), class_="card next") if steps else None,
        h("h3", "What closeness is made of"),
        h("p", "1 is what the training records themselves get. Beside each figure of the synthetic records is that of real "
          "records that the model never saw (\"unseen real\"): no synthetic set can be expected to do better. \"Reached\" is "
          "the first as a share of the second."),
        table("The parts of closeness", head, rows, (1, 2, 3)),
    ]  # fmt: skip


def _training(context: dict[str, Any]) -> list[Child]:
    history = context.get("history") or []
    curve = plots.training_curve(history)
    if curve is None:
        return []
    last = history[-1]
    names = {"loss": "training loss", "val_loss": "validation loss", "epsilon": "epsilon spent"}
    values = ", ".join(f"{label} {number(last[key])}" for key, label in names.items() if last.get(key) is not None)
    content: list[Child] = [
        figure(
            curve, f"Curve over {len(history)} epochs. After the last: {values}.", f"After the last epoch: {values}."
        )
    ]
    claim = context.get("privacy")
    if claim is not None:
        content.append(
            h("p", h("strong", f"Claim: epsilon {_rounded_up(claim['epsilon'])} at delta {claim['delta']:g}"),
              f", for {claim['unit']}, {claim['adjacency']}. {claim.get('meaning') or ''}")
        )  # fmt: skip
    return content


def _samples(body: dict[str, Any]) -> list[Child]:
    columns = []
    for name, records in body["samples"].items():
        lines = []
        for record in records:
            pieces: list[Child] = []
            for position, value in enumerate(record):
                pieces += [h("span", " | ", class_="sep"), value] if position else [value]
            lines.append(h("p", pieces, class_="record"))
        columns.append(h("div", h("h3", name.capitalize()), lines))
    return [
        h("p", "Chosen at random from each set; all but the synthetic ones are real."),
        h("div", columns, class_="columns"),
    ]


def _provenance(body: dict[str, Any]) -> list[Child]:
    source, context = body["provenance"], body["context"]
    rows = [["runner", source["runner"]]]
    for name, files in source["files"].items():
        shown = [file.rsplit("/", 1)[-1] for file in files[:3]] + ["…"] * (len(files) > 3)
        rows.append([f"{name} files", f"{len(files):,}: {', '.join(shown)}"])
    rows += [[key, str(value)] for key, value in (context.get("settings") or {}).items()]
    model = (context.get("synthetic") or {}).get("model") or {}
    rows += [[key.replace("_", " "), str(value)] for key, value in model.items() if value is not None]
    rows += [[name, version] for name, version in source["versions"].items()]
    schema = [[one["name"], one["role"], ", ".join(one["kinds"])] for one in body["schema"]]
    return [
        table("Sources and versions", ["what", "value"], rows),
        table("Fields and their roles", ["field", "role", "kinds allowed"], schema),
    ]


def _rounded_up(epsilon: float | str) -> str:
    """Format epsilon with two decimals, rounded up so that no claim is stronger than it is; an infinite one is text already."""
    return epsilon if isinstance(epsilon, str) else f"{math.ceil(epsilon * 100) / 100:.2f}"
