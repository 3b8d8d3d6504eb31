"""Fuzz model folders of gretel-synthetics: the pickled map of characters, the SentencePiece model, the settings."""

from __future__ import annotations

import pickle
import shutil
from functools import cache
from pathlib import Path
from random import Random

import pytest

from linesmith.core.errors import LinesmithError
from linesmith.pipelines.import_gretel.folder import open_folder
from linesmith.pipelines.import_gretel.vocabulary import read_vocabulary
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated
from tests.helpers.adversarial_texts import ADVERSARIAL_TEXTS
from tests.helpers.gretel_models import unpack

FILES = (
    ("characters", "char2idx.p"),
    ("sentencepiece", "m.model"),
    ("characters", "model_params.json"),
    ("sentencepiece", "tokenizer_params.json"),
)
TOKENS = [
    b"\x8c\x01",
    b"\x94",
    b"(",
    b"u.",
    b"cos\nsystem\n",
    b"R.",
    b"\x95",
    b"<n>",
    b"<d>",
    b"null",
    b"\x18\x03",
    b"-1",
]


@cache
def folders() -> Path:
    """Return a folder with both models."""
    folder = Path("examples").absolute()
    for kind in ("characters", "sentencepiece"):
        unpack(kind, folder)
    return folder


@cache
def examples() -> list[bytes]:
    """Return the files, each after the number of its place in FILES; and a pickle that runs something."""
    found = [bytes([number]) + (folders() / kind / name).read_bytes() for number, (kind, name) in enumerate(FILES)]
    return [*found, b"\x00" + pickle.dumps({"a": print, "\n": 1})]


def read(content: bytes) -> None:
    """Put a file into its folder, and read the vocabulary."""
    kind, name = FILES[content[0] % len(FILES)] if content else FILES[0]
    shutil.rmtree("model", ignore_errors=True)
    shutil.copytree(folders() / kind, "model")
    Path("model", name).write_bytes(content[1:])
    vocabulary = read_vocabulary(open_folder("model"))
    tokenizer = vocabulary.tokenizer
    assert sorted(old for old in vocabulary.old_ids if old >= 0) == list(range(vocabulary.old_size))
    assert len(vocabulary.old_ids) == tokenizer.total_vocab_size
    for text in ("B5,red,50,new", *ADVERSARIAL_TEXTS):
        try:
            tokenizer.decode_from_ids(tokenizer.encode_to_ids(text))
        except LinesmithError:
            continue


TARGET = Target("gretel", read)


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("gretel"))
        yield


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_the_examples_are_read(number: int) -> None:
    read(examples()[number])


def mutated_file(random: Random) -> bytes:
    """Return one of the files, damaged; the number of its place is kept."""
    example = random.choice(examples())
    return example[:1] + mutated(random, [example[1:]], TOKENS)


@pytest.mark.integration
def test_fuzz_gretel() -> None:
    TARGET.fuzz(mutated_file, 200)
