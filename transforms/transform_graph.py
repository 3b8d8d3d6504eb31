"""Build the tf.Transform graph from records to token ids. It is used by tokenize, and saved for those who serve the model.

Input `text`: a record with FIELD_BREAK between its fields. Output `ids`: `<n> [marker] field <d> [marker] field … <n>`.
TensorFlow is imported where it is used, so that workers that need no graph start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.core.library_logging import quiet_import
from linesmith.model.tokenizers.escape import ESCAPE_PAIRS
from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK, NEWLINE_ID

if TYPE_CHECKING:
    import tensorflow as tf

TEXT, IDS = "text", "ids"
CHARACTERS = "characters"  # name of the vocabulary file
_ARROW = pa.schema([(TEXT, pa.large_list(pa.large_binary()))])

PreprocessingFn = Callable[[dict[str, Any]], dict[str, Any]]


def characters_graph(markers: int) -> PreprocessingFn:
    """Return the preprocessing function whose tokens are code points, by descending count in the data.

    The vocabulary file holds code points as numbers: of characters, tf.Transform would silently drop newline and carriage
    return. Reserved ids are the negative numbers at its beginning.

    Args:
        markers: number of marker ids.
    """

    def preprocess(inputs: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf
        import tensorflow_transform as tft

        fields = tf.strings.split(inputs[TEXT], FIELD_BREAK)
        points = tf.strings.unicode_decode(fields.flat_values, "UTF-8", errors="strict")
        points = points.with_flat_values(tf.cast(points.flat_values, tf.int64))
        reserved = [str(-1 - number) for number in range(2 + markers)]
        # Counted within the batch first: tf.Transform passes on every element by itself, and a line has many characters.
        # Integer weights stay integers, so their sum does not depend on the order of the batches.
        distinct, _, counts = tf.unique_with_counts(points.flat_values, out_idx=tf.int64)
        vocabulary = tft.vocabulary(distinct, weights=counts, vocab_filename=CHARACTERS, reserved_tokens=reserved)
        ids = points.with_flat_values(tft.apply_vocabulary(points.flat_values, vocabulary, default_value=-1))
        return {IDS: _assemble(fields, ids, markers)}

    return preprocess


def sentencepiece_graph(model: bytes, markers: int) -> PreprocessingFn:
    """Return the preprocessing function whose tokens are the pieces of a SentencePiece model.

    Args:
        model: the serialized model, which becomes part of the graph.
        markers: number of marker ids.
    """

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
    """Return the preprocessing function whose tokens are bytes, and some characters. Nothing is learned from the data.

    Args:
        markers: number of marker ids.
        characters: code points outside ASCII, ascending, that have an id of their own.
    """

    def preprocess(inputs: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        fields = tf.strings.split(inputs[TEXT], FIELD_BREAK)
        offset = 2 + markers
        if not characters:
            ids = _byte_ids(fields.flat_values, offset)
        else:
            split = tf.strings.unicode_split(fields.flat_values, "UTF-8")
            points = tf.strings.unicode_decode(split.flat_values, "UTF-8").flat_values  # one per character
            index = tf.minimum(tf.searchsorted(characters, points), len(characters) - 1)
            known = tf.equal(tf.gather(characters, index), points)
            character_ids = tf.boolean_mask(tf.cast(index, tf.int64) + offset + 256, known)
            # For each character, either its own id and no bytes, or no id and its bytes.
            parts = [
                tf.RaggedTensor.from_row_lengths(character_ids, tf.cast(known, tf.int64)),
                _byte_ids(tf.where(known, "", split.flat_values), offset),
            ]
            ids = tf.RaggedTensor.from_row_splits(tf.concat(parts, axis=1), split.row_splits).merge_dims(1, 2)
        return {IDS: _assemble(fields, ids, markers)}

    return preprocess


def _byte_ids(texts: tf.Tensor, offset: int) -> tf.RaggedTensor:
    """Return the bytes of each text as a ragged tensor of ids."""
    import tensorflow as tf

    values = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
    lengths = tf.cast(tf.strings.length(texts), tf.int64)
    return tf.RaggedTensor.from_row_lengths(tf.cast(values, tf.int64) + offset, lengths)


def _assemble(fields: tf.RaggedTensor, ids: tf.RaggedTensor, markers: int) -> tf.SparseTensor:
    """Join the ids of fields to records: reserved ids before each field, and `<n>` at the end.

    The result is sparse: tf.Transform's schema of a ragged output does not name the feature that the TFRecords hold.

    Args:
        fields: ragged texts of the fields, one row per record.
        ids: ragged ids, one row per field.
        markers: number of marker ids; later fields have none.
    """
    import tensorflow as tf

    column = tf.ragged.range(fields.row_lengths()).flat_values
    lead = tf.where(tf.equal(column, 0), tf.constant(NEWLINE_ID, tf.int64), tf.constant(DELIMITER_ID, tf.int64))
    parts = [lead[:, tf.newaxis]]
    if markers:
        marked = column < markers
        marker = tf.boolean_mask(tf.cast(column, tf.int64) + 2, marked)
        parts.append(tf.RaggedTensor.from_row_lengths(marker, tf.cast(marked, tf.int64)))
    complete_fields = tf.concat([*parts, ids], axis=1)
    records = tf.RaggedTensor.from_row_splits(complete_fields, fields.row_splits).merge_dims(1, 2)
    end = tf.fill([records.nrows(), 1], tf.constant(NEWLINE_ID, tf.int64))
    return tf.concat([records, end], axis=1).to_sparse()


def adapter_config() -> Any:
    """Return the configuration by which tf.Transform reads the batches of `to_arrow`."""
    import tensorflow as tf
    from tensorflow_transform.tf_metadata import schema_utils
    from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

    schema = schema_utils.schema_from_feature_spec({TEXT: tf.io.FixedLenFeature([], tf.string)})
    representations = tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema)
    return tensor_adapter.TensorAdapterConfig(_ARROW, representations)


def to_arrow(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the text column of a batch of records as tf.Transform needs it: lists of one value."""
    values = batch[TEXT].cast(pa.large_binary())
    offsets = pa.array(range(len(values) + 1), pa.int64())
    return pa.RecordBatch.from_arrays([pa.LargeListArray.from_arrays(offsets, values)], schema=_ARROW)


def write_data_schema(path: Path, users: bool = False) -> None:
    """Write the schema of the TFRecords' features, by which any tool can read them.

    Args:
        path: the file, `schema.pbtxt`.
        users: records have a feature `user_hash`.
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
    """The saved graph, in memory.

    Args:
        directory: as tf.Transform wrote it.
    """

    def __init__(self, directory: str) -> None:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  (registers the ops of a SentencePiece graph)
        import tensorflow_transform as tft

        self._output = tft.TFTransformOutput(directory)
        # The first use loads the graph, and SentencePiece prints a line then that no log level suppresses.
        with quiet_import():
            self._output.transform_raw_features({TEXT: tf.constant([""])})

    def encode_batch(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the token ids of all records of a batch, one record after the other, and the number of ids of each record."""
        import tensorflow as tf

        texts = tf.constant(batch[TEXT].cast(pa.large_binary()).to_numpy(zero_copy_only=False), tf.string)
        ids = self._output.transform_raw_features({TEXT: texts})[IDS]
        rows = ids.indices.numpy()[:, 0]
        return ids.values.numpy(), np.bincount(rows, minlength=batch.num_rows)

    def vocabulary(self) -> list[bytes]:
        """Return the entries of the character vocabulary, in the order of their ids."""
        entries: list[bytes] = self._output.vocabulary_by_name(CHARACTERS)
        return entries
