"""Train mostlyai-engine's LSTM on lines for a number of seconds and measure it. Runs in mostlyai-engine's own environment.

    python mostlyai_train.py TRAIN HELDOUT WORK SECONDS plain|private RESULT

Each line is the value of a table's only column, a text column. All settings are its defaults except the time limit and, in
private training, the maximum of epsilon, which is removed so that the time limit applies. Records are timed from one training
call of the network to the next; time with validation or a checkpoint in between is not counted.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mostlyai import engine
from mostlyai.engine._language.common import load_base_model_and_config
from mostlyai.engine._language.encoding import encode_df
from mostlyai.engine._language.lstm import LSTMFromScratchLMHeadModel
from mostlyai.engine._language.tokenizer_utils import tokenize_fn
from mostlyai.engine._workspace import Workspace
from mostlyai.engine.domain import DifferentialPrivacyConfig
from transformers import AutoTokenizer

MODEL = "MOSTLY_AI/LSTMFromScratch-3m"


class RecordClock:
    """Recorder of the network's calls: when, for how many records and tokens, and whether in training."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, int, int, bool]] = []

    def watch(self, network: type[Any]) -> None:
        forward = network.forward

        @functools.wraps(forward)  # its caller reads the signature
        def timed_forward(module: Any, input_ids: Any, attention_mask: Any, *arguments: Any, **options: Any) -> Any:
            moment = time.perf_counter()
            self.calls.append((moment, attention_mask.shape[0], int(attention_mask.sum()), module.training))
            return forward(module, input_ids, attention_mask, *arguments, **options)

        network.forward = timed_forward

    def rates(self, skip: float) -> dict[str, float]:
        """Return records and tokens per second between adjacent training calls more than `skip` seconds after the first."""
        first = self.calls[0][0]
        seconds, records, tokens = 0.0, 0, 0
        for (start, count, size, training), (end, _, _, next_training) in zip(self.calls, self.calls[1:], strict=False):
            if training and next_training and start - first > skip:
                seconds, records, tokens = seconds + end - start, records + count, tokens + size
        return {"records_per_second": records / seconds, "tokens_per_second": tokens / seconds}


def train(lines: list[str], work: str, seconds: float, private: bool) -> None:
    privacy = DifferentialPrivacyConfig(max_epsilon=None) if private else None
    table = pd.DataFrame({"line": lines})
    engine.split(table, workspace_dir=work, tgt_encoding_types={"line": "LANGUAGE_TEXT"})
    engine.analyze(workspace_dir=work, differential_privacy=privacy)
    engine.encode(workspace_dir=work)
    engine.train(
        model=MODEL,
        workspace_dir=work,
        max_training_time=seconds / 60,
        max_epochs=100_000,
        differential_privacy=privacy,
        device="cpu",
    )


@torch.no_grad()
def heldout_bits(work: str, lines: list[str]) -> tuple[float, int]:
    """Return the bits of the lines, and the number of tokens that its own tokenizer makes of them.

    All tokens that it would generate count: those after its fixed prompt, including the wrapping of the line and the end token.
    """
    workspace = Workspace(Path(work))
    model, _ = load_base_model_and_config(
        workspace.model_path, device=torch.device("cpu"), is_peft_adapter=False, is_training=False
    )
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(
        workspace.model_path, padding_side="right", legacy=True, add_bos_token=False, add_eos_token=False
    )
    table = pd.DataFrame({"line": lines})
    coded = encode_df(pd.DataFrame(index=table.index), tgt_df=table, tgt_stats=workspace.tgt_stats.read())
    options = {"tokenizer": tokenizer, "return_tensors": "pt"}
    prompt = tokenize_fn([coded["ctx"].iloc[0]], add_eos_token=False, **options)["input_ids"].shape[1]
    nats, tokens = 0.0, 0
    for start in range(0, len(lines), 64):
        part = coded.iloc[start : start + 64]
        batch = tokenize_fn((part["ctx"] + part["tgt"]).tolist(), **options)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        logits = model.lm_head(model.lstm(model.embedding(ids))[0])
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        predicted = mask[:, 1:].clone()
        predicted[:, : prompt - 1] = 0
        nats += float((losses * predicted).sum())
        tokens += int(predicted.sum())
    return nats / math.log(2), tokens


def main() -> None:
    source, heldout, work, seconds, kind, result = sys.argv[1:]
    clock = RecordClock()
    clock.watch(LSTMFromScratchLMHeadModel)
    train(Path(source).read_text("utf-8").splitlines(), work, float(seconds), kind == "private")
    lines = Path(heldout).read_text("utf-8").splitlines()
    bits, tokens = heldout_bits(work, lines)
    characters = sum(map(len, lines)) + len(lines)
    Path(result).write_text(
        json.dumps(
            {
                **clock.rates(skip=float(seconds) / 10),
                "heldout_bits_per_character": bits / characters,
                "heldout_characters": characters,
                "heldout_tokens": tokens,
                "records": sum(count for _, count, _, training in clock.calls if training),
            }
        )
    )


if __name__ == "__main__":
    main()
