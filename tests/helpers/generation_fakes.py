"""Hand-written stand-ins for the sampler and the tokenizer: fast, deterministic, and picklable for worker processes."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import write_json
from linesmith.core.artifacts.model_info import ModelInfo, write_model_info
from linesmith.core.artifacts.params import save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.sampling.sampler import DrawSettings, Sample, SampleRequest
from linesmith.model.tokenizers import CharTokenizer, tokenizer_from_model_dir
from linesmith.model.tokenizers.token_format import TokenFormat


def uniform(*identity: object) -> float:
    """Return a number in [0, 1) that is a function of the arguments only."""
    digest = hashlib.sha256(repr(identity).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def three_fields(seed: int, request: SampleRequest, bad_share: float = 0.3) -> Sample:
    """Return a record of three fields, some of them invalid in one of the known ways."""
    prefix = "".join(map(chr, request.prefix))
    number = int(1e6 * uniform(seed, request.index, request.attempt, prefix))
    text = prefix + f"{request.index},{request.attempt},{number}".split(",", prefix.count(","))[-1]
    luck = uniform("luck", seed, request.index, request.attempt, prefix)
    if luck >= bad_share:
        return Sample(request, text, "newline")
    defect = int(luck / bad_share * 4)
    return [
        Sample(request, text, "length"),
        Sample(request, "", "newline"),
        Sample(request, "", "newline", "utf8"),
        Sample(request, text + ",more", "newline"),
    ][defect]


@dataclass
class FakeSampler:
    """Samples with `rows` rows at work; `shuffle` finishes them in another order. Only the order depends on either."""

    answer: Callable[[int, SampleRequest], Sample] = three_fields
    rows: int = 16
    shuffle: int = 0
    answered: int = 0

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        order = random.Random(self.shuffle)
        working: list[SampleRequest] = []
        while requests or working:
            while requests and len(working) < self.rows:
                working.append(requests.popleft())
            # As many as a call of the network may finish: one, or any number where the order is shuffled.
            count = order.randrange(1, len(working) + 1) if self.shuffle else 1
            done = [working.pop(order.randrange(len(working)) if self.shuffle else 0) for _ in range(count)]
            self.answered += count
            yield [self.answer(settings.seed, request) for request in done]


@dataclass
class OfRun:
    """Three-field records whose prefix is decoded by the tokenizer of a run directory."""

    run_dir: str
    bad_share: float = 0.3

    def __call__(self, seed: int, request: SampleRequest) -> Sample:
        text = tokenizer_from_model_dir(self.run_dir).decode_from_ids(request.prefix)
        asked = SampleRequest(request.index, request.attempt, tuple(map(ord, text)))
        return replace(three_fields(seed, asked, self.bad_share), request=request)


def open_fake(
    run_dir: str, checkpoint: str | None = None, options: object = None, threads: int | None = None
) -> FakeSampler:
    """Stand in for `open_sampler`."""
    return FakeSampler(OfRun(run_dir))


def open_narrow(
    run_dir: str, checkpoint: str | None = None, options: object = None, threads: int | None = None
) -> FakeSampler:
    """Return a sampler of the same records in another order."""
    return FakeSampler(OfRun(run_dir), rows=3, shuffle=1)


def open_hopeless(
    run_dir: str, checkpoint: str | None = None, options: object = None, threads: int | None = None
) -> FakeSampler:
    return FakeSampler(OfRun(run_dir, bad_share=1.0))


def open_broken(
    run_dir: str, checkpoint: str | None = None, options: object = None, threads: int | None = None
) -> FakeSampler:
    raise DataError("LS214", None, "the weights are damaged", "Train again.")


def fake_run(root: Path, field_count: int | None = 3, columns: list[str] | None = None, **settings: Any) -> Path:
    """Write a run directory with everything but weights: comma-separated records, a tokenizer of ASCII."""
    root.mkdir(parents=True, exist_ok=True)
    config = TensorFlowConfig(**{"checkpoint_dir": str(root), "field_delimiter": ",", **settings})
    save_params(config, root)
    tokenizer = CharTokenizer(range(32, 127), TokenFormat(config.field_delimiter, config.quoted))
    tokenizer.save(root / "tokenizer")
    info = ModelInfo(
        vocab_size=tokenizer.total_vocab_size,
        embedding_dim=4,
        rnn_units=4,
        rnn_layers=1,
        length_cap_tokens=50,
        field_count=field_count,
        columns=columns,
        tokenizer_digest=tokenizer.digest,
        default_checkpoint="best",
        weights_digest="0" * 64,
        best_epoch=0,
        last_epoch=0,
        stopped="epochs",
    )
    write_model_info(root / "model", info)
    if config.dp:
        write_json(root / "model" / "privacy.json", {"weights": {"best.npz": info.weights_digest}})
    return root
