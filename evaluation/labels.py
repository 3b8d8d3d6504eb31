"""The parts of closeness as a reader is told of them; this module needs no library."""

from __future__ import annotations

COMPONENT_LABELS = {
    "fields": "Values of single fields",
    "association": "Which values occur together",
    "relations": "Differences between numbers",
    "text": "Length and spelling",
    "validity": "Records of the right form",
    "variety": "Variety",
    "indistinguishability": "Hard to tell from real records",
    "usefulness": "Useful to learn from",
}
