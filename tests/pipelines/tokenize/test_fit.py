"""Private runs take the number of fields from the settings, also where the vocabulary is learned from the records."""

from __future__ import annotations

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.tokenizers import sentencepiece_training
from linesmith.pipelines.tokenize import fit
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.transforms import fit_tokenizer
from linesmith.transforms.read_records import RangeCount, ReadSettings

pytestmark = pytest.mark.integration

FIELDS_IN_DATA = 9


class Fitted(Exception):
    """Raised with the number of field markers, where the tokenizer would be fitted."""


@pytest.mark.parametrize(("private", "expected"), [(True, 3), (False, FIELDS_IN_DATA)])
@pytest.mark.parametrize("vocab_size", [0, 500])
def test_field_markers(tmp_path, monkeypatch, vocab_size, private, expected):
    count = RangeCount("in.txt", 0, lines=5, accepted=5, max_fields=FIELDS_IN_DATA)

    def fit_characters(units, settings, options, scratch, data, markers):
        raise Fitted(markers)

    def train_sentencepiece(words, *, reserved_count, **_):
        raise Fitted(reserved_count - 2)

    monkeypatch.setattr(fit_tokenizer, "count_ranges", lambda *_: [count])
    monkeypatch.setattr(fit_tokenizer, "count_words", lambda *_: ([count], 0, {}))
    monkeypatch.setattr(fit_tokenizer, "fit_characters", fit_characters)
    monkeypatch.setattr(sentencepiece_training, "train_sentencepiece", train_sentencepiece)
    config = TensorFlowConfig(
        dp=private, dp_vocabulary="raw" if private else None, vocab_size=vocab_size, field_delimiter=",",
        column_pattern="<c{}>", columns=["a", "b", "c"],
    )  # fmt: skip
    settings = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0.0, True), False)
    with pytest.raises(Fitted) as found:
        fit.fit_tokenizer(config, [], settings, None, tmp_path, [])
    assert found.value.args == (expected,)
