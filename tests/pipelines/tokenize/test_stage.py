"""The tokenize stage, through the in-process runner: what it writes, what it refuses, and what it leaves standing."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from linesmith.core.artifacts.files import sha256_tree
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, TooFewRecordsError, VocabSizeTooSmall
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.pipelines.tokenize import stage
from linesmith.pipelines.tokenize.stage import is_current, tokenize
from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, record_digest
from linesmith.records.input.row_sample import RowSample
from tests.helpers.adversarial_texts import ADVERSARIAL_TEXTS

pytestmark = pytest.mark.slow
RIDES = [f"{n % 24}, ride {n % 7}, {n / 8:.2f}, {'' if n % 5 else n}" for n in range(150)]
OVERLONG = 405_000  # more bytes than 101,000 characters can have
LONG = "long, " + "🛴 1," * 25_000
GOOD = [*RIDES, *(text.rstrip("\r") for text in ADVERSARIAL_TEXTS), *RIDES[:10], LONG]


def accepted(config: TensorFlowConfig) -> list[str]:
    """Return the good lines that have as many fields as columns, where there are columns."""
    if config.columns is None:
        return GOOD
    fields = FieldFormat(config.field_delimiter, config.quoted)
    return [text for text in GOOD if len(fields.mark_breaks(text).split("\n")) == len(config.columns)]


def content() -> bytes:
    """Write good lines with one damaged, two empty and one too long among them."""
    lines = [line.encode() for line in GOOD]
    lines[10:10] = [b"bad \xff\xfe", b"", b"\r"]
    lines.append(b"x" * OVERLONG)
    return b"\xef\xbb\xbf" + b"\n".join(lines)


def config_of(place: Path, **settings) -> TensorFlowConfig:
    (place / "input.txt").exists() or (place / "input.txt").write_bytes(content())
    base = {"input_data_path": place / "input.txt", "checkpoint_dir": place / "run", "field_delimiter": ", "}
    return TensorFlowConfig(**{**base, "vocab_size": 0, "max_line_len": 101_000, **settings})


VARIANTS = {
    "characters": {"vocab_size": 0},
    "sentencepiece": {"vocab_size": 700},
    "unigram": {"vocab_size": 20_000, "sentencepiece_type": "unigram", "column_pattern": "<col{}>"},
    "quoted": {"field_delimiter": ",", "quoted": True, "column_pattern": "[{}]"},
    "ordered": {"columns": "n,ride,km,extra", "condition_on": "extra,ride", "column_pattern": "<{}>"},
    "differences": {"columns": "n,ride,km,extra", "condition_on": "n", "differences": "km=n:2,extra=n"},
    "one field": {"field_delimiter": None, "vocab_size": 600, "character_coverage": 0.98},
}


@pytest.fixture(scope="module", params=VARIANTS)
def run(request, tmp_path_factory) -> SimpleNamespace:
    """A finished stage. Small units, so that there are several shards and ranges that begin in the middle of a line."""
    place = tmp_path_factory.mktemp("stage")
    config = config_of(place, **VARIANTS[request.param])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "plan_input_units", functools.partial(plan_input_units, unit_bytes=4_000))
        report = tokenize(config)
    root = place / "run"
    return SimpleNamespace(
        config=config,
        report=report,
        root=root,
        data=root / "training_data",
        manifest=read_manifest(root / "training_data"),
        statistics=json.loads((root / "training_data" / "statistics.json").read_text()),
        tokenizer=tokenizer_from_model_dir(root),
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> SimpleNamespace:
    place = tmp_path_factory.mktemp("plain")
    config = config_of(place)
    return SimpleNamespace(place=place, config=config, report=tokenize(config), root=place / "run")


def records(data: Path, split: str) -> list[tuple[list[int], int, int]]:
    """Return (ids, hash, characters) of each record of a split, read by TensorFlow."""
    import tensorflow as tf

    found = []
    for path in sorted(data.glob(f"{split}-*")):
        for serialized in tf.data.TFRecordDataset(str(path), "GZIP"):
            example = tf.train.Example.FromString(serialized.numpy())
            values = {name: list(feature.int64_list.value) for name, feature in example.features.feature.items()}
            assert values.keys() == {"ids", "record_hash", "num_chars"}
            found.append((values["ids"], values["record_hash"][0], values["num_chars"][0]))
    return found


@pytest.mark.slow
def test_every_accepted_line_is_there_once_and_unchanged(run):
    splitter = DatasetSplitter(0.05, True)
    texts = []
    for number, split in enumerate(("train", "validation", "holdout")):
        found = records(run.data, split)
        assert len(found) == run.manifest["counts"]["splits"][split]["records"] > 0
        assert sum(len(ids) - 1 for ids, _, _ in found) == run.manifest["counts"]["splits"][split]["tokens"]
        for ids, record_hash, chars in found:
            assert ids[0] == ids[-1] == 0
            text = run.tokenizer.decode_from_ids(ids[1:-1])
            assert_same_encoding(run, ids[1:-1], run.tokenizer.encode_to_ids(text))
            assert not set(ids) & set(run.tokenizer.never_sampled)
            digest = record_digest(text.encode())
            assert (record_hash, chars, number) == (digest.text_hash, len(text), splitter.split_of(digest))
            texts.append(text)
    assert Counter(texts) == Counter(accepted(run.config))


def assert_same_encoding(run, graph: list[int], python: list[int]) -> None:
    """Equal ids; of a unigram model, a segmentation of equal score is as good."""
    if run.config.sentencepiece_type != "unigram":
        assert graph == python
        return
    reserved, score = run.tokenizer.token_format.reserved_count, run.tokenizer._processor.get_score
    scores = [math.fsum(score(i - reserved) for i in ids if i >= reserved) for ids in (graph, python)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert [i for i in graph if i < reserved] == [i for i in python if i < reserved]


def test_what_is_counted(run):
    counts, good = run.manifest["counts"], accepted(run.config)
    assert (counts["lines"], counts["accepted"]) == (len(GOOD) + 4, len(good))
    others = {"field_count": len(GOOD) - len(good)} if len(good) < len(GOOD) else {}
    assert counts["rejected"] == {"empty": 2, "encoding": 1, "too_long": 1, **others}
    assert counts["train_tokens"] == counts["splits"]["train"]["tokens"]
    assert run.report.counts["rejected"] == len(GOOD) + 4 - len(good)
    assert run.manifest["runner"] == "FnApiRunner"
    assert run.manifest["tokenizer_digest"] == run.tokenizer.digest
    listed = {**run.manifest["outputs"]["training_data"]}
    on_disk = sha256_tree(run.data)
    assert on_disk.pop("manifest.json")
    assert listed == on_disk
    assert run.manifest["outputs"]["rejects"] == sha256_tree(run.root / "rejects") != {}


def test_rejects_name_the_line(run):
    rows = [
        json.loads(row)
        for path in sorted((run.root / "rejects").iterdir())
        for row in path.read_text().removesuffix("\n").split("\n")
    ]
    good = accepted(run.config)
    others = [
        (number + (1 if number < 10 else 4), "field_count") for number, text in enumerate(GOOD) if text not in good
    ]
    reasons = [(11, "encoding"), (12, "empty"), (13, "empty"), *others, (len(GOOD) + 4, "too_long")]
    assert [(row["line"], row["reason"]) for row in rows] == sorted(reasons)
    assert rows[-1]["bytes"] == OVERLONG
    assert all(row["file"] == str(run.config.input_data_path) for row in rows)
    everything = content()
    for row in rows:
        assert everything[: row["offset"]].count(b"\n") == row["line"] - 1


def test_shards_are_named_and_scratch_is_gone(run):
    for split in ("train", "validation", "holdout"):
        names = sorted(path.name for path in run.data.glob(f"{split}-*"))
        assert names == [f"{split}-{n:05d}-of-{len(names):05d}.tfrecord.gz" for n in range(len(names))]
    assert len(list(run.data.glob("train-*"))) > 1
    assert {path.name for path in run.root.iterdir()} <= {"tokenizer", "training_data", "rejects", ".lock", ".tmp"}
    assert not any((run.root / ".tmp").glob("*"))


def test_statistics_equal_a_slow_count(run):
    config, described = run.config, [r for split in ("train", "validation") for r in records(run.data, split)]
    fields = []
    for ids, _, _ in described:
        text = run.tokenizer.decode_from_ids(ids[1:-1])
        fields.append(FieldFormat(config.field_delimiter, config.quoted).mark_breaks(text).split("\n"))
    assert run.statistics["records_described"] == len(described)
    assert run.statistics["field_counts"] == {str(n): c for n, c in Counter(map(len, fields)).items()}
    assert run.statistics["length_tokens"]["max"] == max(len(ids) - 1 for ids, _, _ in described)
    assert run.statistics["length_chars"]["max"] == max(chars for _, _, chars in described)
    for length in ("length_tokens", "length_chars"):
        assert sum(count for _, count in run.statistics[length]["histogram"]) == len(described)
    differences = run.tokenizer.token_format.differences
    forms = fields if differences is None else [differences.to_model(row) for row in fields]
    for number, found in enumerate(run.statistics["fields"][:4]):
        values = [row[number] for row in forms if len(row) > number]
        if "original" in found:
            of_input = [row[number] for row in fields if len(row) > number]
            assert found["original"]["max_chars"] == max(map(len, of_input)) and of_input != values
            assert found["original"]["kinds"].get("empty", 0) == of_input.count("")
        assert found["max_chars"] == max(map(len, values))
        assert found["kinds"].get("empty", 0) == values.count("")
        assert found["kinds"].get("integer", 0) == sum(
            re.fullmatch("[+-]?[0-9]+", value) is not None for value in values
        )
        assert found["values"] is None or found["values"] == Counter(values)
        if config.sentencepiece_type != "unigram":
            tokens = {t for row in forms if len(row) > number for t in field_tokens(run.tokenizer, row[number])}
            assert set(found["tokens"]) == tokens


def field_tokens(tokenizer, field: str) -> set[int]:
    """Ids of a field that is encoded alone, structure left out."""
    quoted, tokenizer.token_format = (
        tokenizer.token_format,
        SimpleNamespace(
            split_record=lambda text: [text],
            join_ids=lambda parts: parts[0],
            reserved_count=tokenizer.token_format.reserved_count,
        ),
    )
    try:
        return set(tokenizer.encode_to_ids(field))
    finally:
        tokenizer.token_format = quoted


def test_the_saved_graph_encodes_as_the_tokenizer(run):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401
    import tensorflow_transform as tft

    saved = tft.TFTransformOutput(str(run.data))
    text = next(line for line in GOOD if '"' not in line)
    inner = text if run.config.field_delimiter is None else text.replace(run.config.field_delimiter, "\n")
    inner = run.tokenizer.token_format.form.mark_for_model(inner)
    ids = saved.transform_raw_features({"text": tf.constant([inner])})["ids"].values.numpy().tolist()
    assert ids == [0, *run.tokenizer.encode_to_ids(text), 0]
    assert "record_hash" in (run.data / "schema.pbtxt").read_text()


@pytest.mark.slow
def test_units_do_not_change_the_data(plain, tmp_path):
    (tmp_path / "input.txt").write_bytes(content())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "plan_input_units", functools.partial(plan_input_units, unit_bytes=3_000))
        tokenize(config_of(tmp_path))
    one, many = (read_manifest(root / "training_data") for root in (plain.root, tmp_path / "run"))
    assert one["data_digest"] == many["data_digest"]
    assert one["counts"] == many["counts"]
    statistics = [(root / "training_data" / "statistics.json").read_bytes() for root in (plain.root, tmp_path / "run")]
    assert statistics[0] == statistics[1]


def test_training_data_are_current_only_with_equal_settings_and_input(plain):
    assert is_current(plain.config)
    assert is_current(plain.config.replace(epochs=3, seed=9))
    with pytest.raises(DataError, match=r"max_line_len was 101000 and is now 100"):
        is_current(plain.config.replace(max_line_len=100))
    assert not is_current(plain.config.replace(max_line_len=100, overwrite=True))
    other = plain.place / "other.txt"
    other.write_text("1, 2\n")
    with pytest.raises(DataError, match="input_data_path"):
        is_current(plain.config.replace(input_data_path=str(other)))
    assert not is_current(plain.config.replace(checkpoint_dir=str(plain.place / "none")))


def test_a_complete_run_is_not_touched(plain):
    before = sha256_tree(plain.root)
    with pytest.raises(DataError, match=r"LS204.*overwrite=True"):
        tokenize(plain.config)
    bad = plain.place / "bad.txt"
    bad.write_text("\n\n")
    with pytest.raises(DataError, match="LS207"):
        tokenize(plain.config.replace(overwrite=True, input_data_path=str(bad)))
    assert {name: digest for name, digest in sha256_tree(plain.root).items() if name != ".lock"} == {
        name: digest for name, digest in before.items() if name != ".lock"
    }


def test_max_lines_header_and_names(tmp_path):
    (tmp_path / "b.txt").write_text("x,y\n3,4\n5,6\n")
    (tmp_path / "a.txt").write_text("x,y\n\n1,2\n")
    config = TensorFlowConfig(
        input_data_path=str(tmp_path / "?.txt"),
        checkpoint_dir=tmp_path / "run",
        field_delimiter=",",
        header=True,
        max_lines=2,
        vocab_size=0,
        validation_split=False,
        holdout_fraction=0,
    )
    report = tokenize(config)
    tokenizer = tokenizer_from_model_dir(tmp_path / "run")
    found = [tokenizer.decode_from_ids(ids[1:-1]) for ids, _, _ in records(tmp_path / "run" / "training_data", "train")]
    assert found == ["1,2", "3,4"]
    assert read_manifest(tmp_path / "run" / "training_data")["columns"] == ["x", "y"]
    assert (report.counts["accepted"], report.counts["lines"], report.counts["rejected"]) == (2, 3, 1)
    assert not report.notices


def test_a_sample_is_as_an_input_of_these_rows_alone(tmp_path):
    """The oracle is a file with the sampled lines, bad ones among them; rejects keep the numbers of their lines."""
    lines = [f"{n},{n * n % 13}" if n % 9 else "" for n in range(600)]
    settings = {"field_delimiter": ",", "header": True}
    sampled = config_of(written(tmp_path / "sampled", lines), sample_rows=200, **settings)
    report = tokenize(sampled)
    assert report.counts["lines"] == 600 and report.counts["not in the sample"] == 400
    assert "200 of 600 rows are used" in report.notices[0]
    assert is_current(sampled)
    with pytest.raises(DataError, match=r"LS215.*sample_rows"):
        is_current(sampled.replace(sample_rows=201))

    places = list(itertools.accumulate((len(line) + 1 for line in lines), initial=len("a,b\n")))[:-1]
    hashes = RowSample(0).hashes(places).tolist()
    kept = [line for line, found in zip(lines, hashes, strict=True) if found <= sorted(hashes)[199]]
    alone = config_of(written(tmp_path / "alone", kept), **settings)
    tokenize(alone)
    one, other = (read_manifest(Path(config.checkpoint_dir) / "training_data") for config in (sampled, alone))
    assert one["data_digest"] == other["data_digest"]
    assert one["counts"]["accepted"] + sum(one["counts"]["rejected"].values()) == 200
    for name in ("accepted", "rejected", "splits"):
        assert one["counts"][name] == other["counts"][name]
    rejects = [
        json.loads(line) for file in (tmp_path / "sampled" / "run" / "rejects").glob("part-*") for line in file.open()
    ]
    assert rejects and all((row["line"] - 2) % 9 == 0 for row in rejects)


def written(folder: Path, lines: list[str]) -> Path:
    folder.mkdir()
    (folder / "input.txt").write_text("\n".join(["a,b", *lines]) + "\n")
    return folder


def test_a_sample_larger_than_the_input_is_the_input(tmp_path):
    report = tokenize(config_of(tmp_path, sample_rows=10_000))
    assert report.counts["accepted"] == len(GOOD)
    assert "all are used" in report.notices[0] and "not in the sample" not in report.counts


@pytest.mark.parametrize("vocab_size", [0, 300])
def test_one_line(vocab_size, tmp_path):
    (tmp_path / "input.txt").write_text("only")
    config = config_of(tmp_path, vocab_size=vocab_size, validation_split=False, holdout_fraction=0)
    assert tokenize(config).counts["train"] == 1


def test_too_few(tmp_path):
    (tmp_path / "input.txt").write_text("record 6\n")  # falls on the validation side
    line = next(
        n for n in range(99) if DatasetSplitter(0.05, True).split_of(record_digest(f"record {n}".encode())) == 1
    )
    (tmp_path / "input.txt").write_text(f"record {line}\n")
    with pytest.raises(TooFewRecordsError, match="none fell on the training side"):
        tokenize(config_of(tmp_path))
    assert not (tmp_path / "run" / "training_data").exists()


def test_too_many_rejects(tmp_path):
    (tmp_path / "input.txt").write_text("secret\n\n\nsecret\n")
    with pytest.raises(DataError, match=r"2 of 4 lines.*max_reject_rate 0\.4") as caught:
        tokenize(config_of(tmp_path, max_reject_rate=0.4))
    assert "secret" not in str(caught.value)


def test_too_small_a_vocabulary(tmp_path):
    with pytest.raises(VocabSizeTooSmall, match=r"vocab_size 100: too small"):
        tokenize(config_of(tmp_path, vocab_size=100))


@pytest.mark.parametrize("words", ["ride", "no such characters: ÄÖÜ"])
def test_an_input_that_changes_between_the_passes(words, tmp_path, monkeypatch):
    config = config_of(tmp_path)
    encode = stage._encode

    def change(*args):
        (tmp_path / "input.txt").write_text(f"{words}\n" * 2000)
        return encode(*args)

    monkeypatch.setattr(stage, "_encode", change)
    with pytest.raises(DataError, match=r"^LS220.*changed while it was read.*[^\]]$") as caught:
        tokenize(config)
    assert caught.value.code == "LS220"
    assert words not in str(caught.value)
    assert not (tmp_path / "run" / "training_data").exists()


def test_a_ten_megabyte_line_is_one_reject(tmp_path):
    (tmp_path / "input.txt").write_bytes(b"good\n" * 50 + b"x" * (10 << 20) + b"\n" + b"better\n" * 50)
    report = tokenize(config_of(tmp_path, max_line_len=2048, validation_split=False, holdout_fraction=0))
    assert (report.counts["accepted"], report.counts["rejected (too_long)"]) == (100, 1)
