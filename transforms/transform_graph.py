"""The tf.Transform graph that turns records into token ids: used by tokenize, and saved for whoever serves the model.

Input `text`: a record whose structural delimiters are FIELD_BREAK. Output `ids`: `<n> [marker] field <d> [marker] field … <n>`.
TensorFlow is imported where it is used, so that workers that need no graph start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from linesmith.core.library_logging import quiet_import
from linesmith.model.tokenizers.escape import ESCAPE_PAIRS
from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK, NEWLINE_ID

TEXT, IDS = "text", "ids"
CHARACTERS = "characters"  # name of the vocabulary file
_ARROW = pa.schema([(TEXT, pa.large_list(pa.large_binary()))])

PreprocessingFn = Callable[[dict[str, Any]], dict[str, Any]]


def characters_graph(markers: int) -> PreprocessingFn:
    """Ids of code points, by descending count. Reserved ids are the negative numbers at the head of the vocabulary file.

    The vocabulary holds numbers: as text, tf.Transform would silently drop newline and carriage return.
    """

    def preprocess(inputs: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf
        import tensorflow_transform as tft

        fields = tf.strings.split(inputs[TEXT], FIELD_BREAK)
        points = tf.strings.unicode_decode(fields.flat_values, "UTF-8", errors="strict")
        points = points.with_flat_values(tf.cast(points.flat_values, tf.int64))
        reserved = [str(-1 - number) for number in range(2 + markers)]
        # Counted within the batch first: tf.Transform hands every element on by itself, and a line has many characters.
        # Integer weights stay integers, so their sum does not depend on the order of the batches.
        distinct, _, counts = tf.unique_with_counts(points.flat_values, out_idx=tf.int64)
        vocabulary = tft.vocabulary(distinct, weights=counts, vocab_filename=CHARACTERS, reserved_tokens=reserved)
        ids = points.with_flat_values(tft.apply_vocabulary(points.flat_values, vocabulary, default_value=-1))
        return {IDS: _assemble(fields, ids, markers)}

    return preprocess


def sentencepiece_graph(model: bytes, markers: int) -> PreprocessingFn:
    """Ids of the pieces of a trained model, whose bytes become part of the graph."""

    def preprocess(inputs: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf
        import tensorflow_text

        fields = tf.strings.split(inputs[TEXT], FIELD_BREAK)
        escaped = fields.flat_values
        for plain, pair in ESCAPE_PAIRS:
            escaped = tf.strings.regex_replace(escaped, plain, pair)
        # Not FastSentencepieceTokenizer: it has no byte fallback.
        pieces = tensorflow_text.SentencepieceTokenizer(model=model).tokenize(escaped)
        ids = pieces.with_flat_values(tf.cast(pieces.flat_values, tf.int64) + 2 + markers)
        return {IDS: _assemble(fields, ids, markers)}

    return preprocess


def bytes_graph(markers: int, characters: Sequence[int] = ()) -> PreprocessingFn:
    """Ids of the bytes of the text, and one id for each of the given characters outside ASCII. Nothing is learnt here."""

    def preprocess(inputs: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        fields = tf.strings.split(inputs[TEXT], FIELD_BREAK)
        offset = 2 + markers
        if not characters:
            ids = _byte_ids(fields.flat_values, offset)
        else:
            split = tf.strings.unicode_split(fields.flat_values, "UTF-8")
            points = tf.strings.unicode_decode(split.flat_values, "UTF-8").flat_values  # one a character
            place = tf.minimum(tf.searchsorted(characters, points), len(characters) - 1)
            known = tf.equal(tf.gather(characters, place), points)
            own = tf.boolean_mask(tf.cast(place, tf.int64) + offset + 256, known)
            parts = [
                tf.RaggedTensor.from_row_lengths(own, tf.cast(known, tf.int64)),
                _byte_ids(tf.where(known, "", split.flat_values), offset),
            ]
            ids = tf.RaggedTensor.from_row_splits(tf.concat(parts, axis=1), split.row_splits).merge_dims(1, 2)
        return {IDS: _assemble(fields, ids, markers)}

    return preprocess


def _byte_ids(texts: Any, offset: int) -> Any:
    """The bytes of each text as ids, ragged."""
    import tensorflow as tf

    values = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
    lengths = tf.cast(tf.strings.length(texts), tf.int64)
    return tf.RaggedTensor.from_row_lengths(tf.cast(values, tf.int64) + offset, lengths)


def _assemble(fields: Any, ids: Any, markers: int) -> Any:
    """Records from the ids of all fields: reserved ids before each field, `<n>` at the end.

    The result is sparse: tf.Transform's schema of a ragged output does not name the feature that the TFRecords hold.
    """
    import tensorflow as tf

    column = tf.ragged.range(fields.row_lengths()).flat_values
    lead = tf.where(tf.equal(column, 0), tf.constant(NEWLINE_ID, tf.int64), tf.constant(DELIMITER_ID, tf.int64))
    parts = [lead[:, tf.newaxis]]
    if markers:
        marked = column < markers
        marker = tf.boolean_mask(tf.cast(column, tf.int64) + 2, marked)
        parts.append(tf.RaggedTensor.from_row_lengths(marker, tf.cast(marked, tf.int64)))
    whole_fields = tf.concat([*parts, ids], axis=1)
    records = tf.RaggedTensor.from_row_splits(whole_fields, fields.row_splits).merge_dims(1, 2)
    end = tf.fill([records.nrows(), 1], tf.constant(NEWLINE_ID, tf.int64))
    return tf.concat([records, end], axis=1).to_sparse()


def adapter_config() -> Any:
    """How tf.Transform reads the batches of `to_arrow`."""
    import tensorflow as tf
    from tensorflow_transform.tf_metadata import schema_utils
    from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

    schema = schema_utils.schema_from_feature_spec({TEXT: tf.io.FixedLenFeature([], tf.string)})
    representations = tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema)
    return tensor_adapter.TensorAdapterConfig(_ARROW, representations)


def to_arrow(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The text column of a batch of records, as tf.Transform wants it: lists of one value."""
    values = batch[TEXT].cast(pa.large_binary())
    offsets = pa.array(range(len(values) + 1), pa.int64())
    return pa.RecordBatch.from_arrays([pa.LargeListArray.from_arrays(offsets, values)], schema=_ARROW)


def write_data_schema(path: Path, users: bool = False) -> None:
    """Write `schema.pbtxt`: the features of the TFRecords, by which any tool can read them.

    Args:
        path: where to.
        users: records carry whose they are.
    """
    import tensorflow as tf
    from google.protobuf import text_format
    from tensorflow_transform.tf_metadata import schema_utils

    schema = schema_utils.schema_from_feature_spec(
        {
            IDS: tf.io.VarLenFeature(tf.int64),
            "record_hash": tf.io.FixedLenFeature([], tf.int64),
            "num_chars": tf.io.FixedLenFeature([], tf.int64),
            **({"user_hash": tf.io.FixedLenFeature([], tf.int64)} if users else {}),
        }
    )
    path.write_text(text_format.MessageToString(schema), "utf-8")


class SavedGraph:
    """The saved graph in memory: batches of records in, ids out."""

    def __init__(self, directory: str) -> None:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  (registers the ops of a SentencePiece graph)
        import tensorflow_transform as tft

        self._output = tft.TFTransformOutput(directory)
        with (
            quiet_import()
        ):  # the first use loads the graph, and SentencePiece writes a line that no log level holds back
            self._output.transform_raw_features({TEXT: tf.constant([""])})

    def encode_batch(self, batch: pa.RecordBatch) -> tuple[Any, Any]:
        """Token ids of a batch of records, one after the other, and the number of ids of each record."""
        import numpy as np
        import tensorflow as tf

        texts = tf.constant(batch[TEXT].cast(pa.large_binary()).to_numpy(zero_copy_only=False), tf.string)
        ids = self._output.transform_raw_features({TEXT: texts})[IDS]
        rows = ids.indices.numpy()[:, 0]
        return ids.values.numpy(), np.bincount(rows, minlength=batch.num_rows)

    def vocabulary(self) -> list[bytes]:
        """Entries of the character vocabulary, in the order of ids."""
        entries: list[bytes] = self._output.vocabulary_by_name(CHARACTERS)
        return entries
