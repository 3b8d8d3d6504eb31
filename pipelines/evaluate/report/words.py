"""The verdict in words for somebody who sees it for the first time."""

from __future__ import annotations

VERDICT_WORDS = {
    "close": "Close to the real records",
    "near": "Near the real records",
    "far": "Far from the real records",
    "leak": "Leaks training records",
    "unclear": "Too few records to say",
    "no leak found": "No leak found",
    "not measured": "Not measured",
}
SET_WORDS = {
    "training": "the real records that the model learned from",
    "holdout": "real records that the model never saw, to compare with",
    "synthetic": "the records that are judged here",
}
