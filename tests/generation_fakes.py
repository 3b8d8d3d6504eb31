"""Hand-written stand-ins for the sampler and the tokenizer: fast, deterministic, and picklable for worker processes."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import TokenizerError
from model.sampling import Sample, SampleRequest
from model.tokenizers.base import Tokenizer


def uniform(*identity: object) -> float:
    """A number in [0, 1) that is a function of its arguments only."""
    digest = hashlib.sha256(repr(identity).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def three_fields(seed: int, request: SampleRequest, bad_share: float = 0.3) -> Sample:
    """Records of three fields, some of them bad in one of the known ways."""
    prefix = "".join(map(chr, request.prefix))
    number = int(1e6 * uniform(seed, request.index, request.attempt, prefix))
    text = prefix + f"{request.index},{request.attempt},{number}".split(",", prefix.count(","))[-1]
    luck = uniform("luck", seed, request.index, request.attempt, prefix)
    if luck >= bad_share:
        return Sample(request, text, "newline")
    kind = int(luck / bad_share * 4)
    return [
        Sample(request, text, "length"),
        Sample(request, "", "newline"),
        Sample(request, "", "newline", "utf8"),
        Sample(request, text + ",more", "newline"),
    ][kind]


@dataclass
class FakeSampler:
    """Answers from `rows` slots; a shuffled one finishes in a different order. Nothing but the order depends on either."""

    answer: Callable[[int, SampleRequest], Sample] = three_fields
    rows: int = 16
    shuffle: int = 0
    answered: int = 0

    def stream(
        self, requests: deque[SampleRequest], *, seed: int, temperature: float = 1.0, gen_chars: int = 0
    ) -> Iterator[Sample]:
        order = random.Random(self.shuffle)
        working: list[SampleRequest] = []
        while requests or working:
            while requests and len(working) < self.rows:
                working.append(requests.popleft())
            done = working.pop(order.randrange(len(working)) if self.shuffle else 0)
            self.answered += 1
            yield self.answer(seed, done)


class FakeTokenizer(Tokenizer):
    """Ids are code points; only ASCII is known."""

    field_delimiter: str | None = ","
    quoted = False
    total_vocab_size = 128
    never_sampled: Sequence[int] = ()
    digest = "fake"

    def encode_to_ids(self, text: str) -> list[int]:
        for character in text:
            if ord(character) >= 128:
                raise TokenizerError(f"U+{ord(character):04X} is not in the vocabulary")
        return [ord(character) for character in text]

    def decode_from_ids(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def save(self, directory: str | Path) -> None:
        raise NotImplementedError
