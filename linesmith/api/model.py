"""A trained model in Python: sample, stream, score, evaluate, save."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from linesmith.api.inputs import checked_lines, write_lines, write_rows
from linesmith.api.progress import counted, messages
from linesmith.api.requests import generation_settings, whole_number
from linesmith.api.sampling import ARGUMENTS, RecordSource
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.records.fields import FieldFormat

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from linesmith.api.report import Report
    from linesmith.records.table_format import TableFormat

_MOST_ROWS = 1_000_000_000
_LAST_NUMBER = 1 << 62
_STREAMED_ROWS = 256


class Model:
    """A trained model. `fit` and `load` return one.

    Attributes:
        directory: the run directory; a temporary one is deleted with this object.
        settings: every setting of the training.
    """

    directory: Path
    settings: TensorFlowConfig

    def __init__(self, settings: TensorFlowConfig, keep: tempfile.TemporaryDirectory[str] | None = None) -> None:
        from linesmith.core.artifacts.model_info import TABLE_FILE, read_model_info
        from linesmith.records.roles.stored_roles import read_roles
        from linesmith.records.table_format import read_table_format

        self.directory = Path(str(settings.checkpoint_dir))
        self.settings = settings
        self._keep = keep
        self._info = read_model_info(self.directory)
        self._source = RecordSource()
        self._table: TableFormat | None = read_table_format(self.directory / "model" / TABLE_FILE)
        self._roles = read_roles(self.directory / "model")
        self._learned_table = self._table
        if self._table is not None and self._roles is not None:
            self._learned_table = self._table.without(frozenset(self._roles.roles))
            if self._table.source is not None:
                self._table = self._table.without([name for name, text in self._roles.roles.items() if text == "drop"])

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns; None where the records have none."""
        if self._table is not None:
            return [column.name for column in self._table.columns]
        if self._roles is not None:
            return self._roles.written_columns({name: role.kind for name, role in self.settings.roles.items()})
        return None if self._info.columns is None else list(self._info.columns)

    @property
    def privacy(self) -> dict[str, Any] | None:
        """The privacy statement of the model; None where it was trained without differential privacy, and nothing is promised.

        Raises:
            DataError: LS214, the statement is of other weights.
        """
        from linesmith.core.artifacts.privacy_statement import check_statement

        return check_statement(self.directory)

    def sample(
        self,
        n: int = 1000,
        *,
        where: Mapping[str, Any] | None = None,
        seed: int | None = None,
        parallelism: int | float = 1,
        progress: bool | None = None,
        **settings: Any,
    ) -> Any:
        """Return new records: a data frame as `fit` was given, with the same types, otherwise a list of lines.

        The same seed gives the same records, and the first ones of more. Invalid records are tried again and not returned.

        Args:
            n: number of records.
            where: values of `condition_on` columns that every record has.
            seed: default that of the training.
            parallelism: as for `generate_text`; more than one process pays from some 100,000 records on.
            progress: False draws no bar; default: one is drawn in a terminal and in a notebook.
            settings: other settings of generation, such as gen_temp.

        Raises:
            ParameterError: an argument cannot work; LS132, the model cannot be asked for this.
            ShortfallError: fewer valid records could be made.
        """
        count = whole_number("n", n, _MOST_ROWS, "Use stream for more.")
        config = self._generation_settings(where, seed, settings)
        with messages(progress, ARGUMENTS):
            texts = counted(self._source.texts(config, 0, count, parallelism), count)
        if self._table is None:
            return texts
        from linesmith.api.frames import build_table

        return build_table(self._table, texts)

    def stream(
        self, start: int = 0, *, where: Mapping[str, Any] | None = None, seed: int | None = None, **settings: Any
    ) -> Iterator[Any]:
        """Yield records without end: dictionaries by column where `fit` was given a table, otherwise lines.

        Record number i is the same as in `sample`, and in every stream, whatever its `start`.

        Args:
            start: number of the first record.
            where: as for `sample`.
            seed: as for `sample`.
            settings: as for `sample`.

        Raises:
            ParameterError: as `sample`, at the call.
        """
        first = whole_number("start", start, _LAST_NUMBER, "Give one.")
        texts = self._source.texts(self._generation_settings(where, seed, settings), first, None)
        return texts if self._table is None else _rows(self._table, texts)

    def score(self, records: Any) -> npt.NDArray[np.float64]:
        """Return the log-likelihood of each record under the model, in nats; −inf for one that the model cannot write.

        Args:
            records: a table with the columns that the model was fitted to, or lines.

        Raises:
            DataError: LS232, they are no such records.
        """
        import numpy as np

        texts = self._texts(records)
        with messages(False):
            from linesmith.model.sampling.text_losses import TextLosses
            from linesmith.model.tokenizers import tokenizer_from_model_dir

            means, counts = TextLosses(self.directory, tokenizer_from_model_dir(self.directory)).means(texts)
            return -np.asarray(means * counts, np.float64)

    def evaluate(self, holdout: Any = None, *, n: int | None = None, target: str | None = None) -> Report:
        """Compare new records with the training data and with records that the model never saw, and return a report.

        The run directory is left as it is. It must hold the training data, so the model must not come from an archive.

        Args:
            holdout: real records that were not given to `fit`: of the same kind. Default: those that `fit` held back.
            n: how many records to generate; default as many as there are training records, at most 10,000.
            target: column to predict; default: one is chosen.

        Raises:
            ParameterError: LS106, the extra `evaluate` is not installed.
            DataError: LS201, the run directory holds no training data.
        """
        from linesmith.api.evaluation import evaluate_model

        return evaluate_model(self, holdout, n, target)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path | str:
        """Keep the model, without any data, and return where it is. `load` reads it.

        Args:
            path: a directory, or a file that ends in .tar.gz; either may be a bucket address. An archive is what `export` makes.
            overwrite: whether an existing archive may be replaced.

        Raises:
            DataError: LS204, LS215: there is another model, or an archive.
            ParameterError: LS221, the place cannot be written.
        """
        from linesmith.api.saving import save_model

        return save_model(self.directory, path, overwrite)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        revision: str | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Upload the archive that `save` writes to the Hugging Face Hub, and return the address of the commit.

        A page goes with it, and the privacy statement where there is one; nothing else of the run directory does.

        Args:
            repo_id: OWNER/NAME of the repository, which is created where there is none.
            private: whether a new repository is for its owner only.
            revision: a branch; default main.
            token: of the account; default the one that `hf auth login` stored, or HF_TOKEN.
            commit_message: of the commit.

        Raises:
            ParameterError: LS106, the extra `hub` is not installed; LS101, repo_id is no name.
            DataError: LS213, the Hub refuses access or cannot be reached; LS214, the privacy statement is of other weights.
        """
        from linesmith.api.hub import push_model

        return push_model(self, repo_id, private, revision, token, commit_message)

    @staticmethod
    def from_hub(repo_id: str, *, revision: str | None = None, token: str | bool | None = None) -> Model:
        """Load a model that `push_to_hub` uploaded. No code of the repository runs, and nothing is unpickled.

        Args:
            repo_id: OWNER/NAME of the repository.
            revision: a branch, tag or commit; default main.
            token: as for `push_to_hub`.

        Raises:
            ParameterError: LS106, the extra `hub` is not installed; LS101, repo_id is no name.
            DataError: LS201, the repository holds no model; LS210, its archive cannot be used; LS213, the Hub refuses access
                or cannot be reached.
        """
        from linesmith.api.hub import pull_model
        from linesmith.core.artifacts.params import config_from_model_dir

        keep = tempfile.TemporaryDirectory(prefix="linesmith-", ignore_cleanup_errors=True)
        pull_model(keep.name, repo_id, revision, token)
        return Model(config_from_model_dir(keep.name), keep)

    def _texts(self, records: Any) -> list[str]:
        """Return records as the model writes them, without the columns that it was not given."""
        if self._learned_table is not None:
            from linesmith.api.frames import columns_like, row_texts

            return list(row_texts(self._learned_table, columns_like(self._learned_table, records)))
        lines = _lines(records)
        fields = FieldFormat(self.settings.field_delimiter, self.settings.quoted)
        return lines if self._roles is None else self._roles.learned_texts(lines, fields)

    def _write_records(self, path: Path, records: Any) -> None:
        """Write records as a file of input."""
        names = None if self._roles is None else self._roles.columns
        if self._learned_table is not None:
            write_rows(path, self._learned_table, records, names)
            return
        fields = FieldFormat(self.settings.field_delimiter, self.settings.quoted)
        header = [fields.join(names or self.columns or [])] if self.settings.header else []
        write_lines(path, itertools.chain(header, _lines(records)), self.settings.encoding)

    def _generation_settings(
        self, where: Mapping[str, Any] | None, seed: int | None, settings: Mapping[str, Any]
    ) -> TensorFlowConfig:
        config = self.settings.replace(checkpoint_dir=str(self.directory), overwrite=False)
        return generation_settings(config, where, seed, settings, self._learned_table)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a linesmith.Model is not pickled or copied; save keeps it, and load reads it")

    def __repr__(self) -> str:
        names = self.columns
        what = "lines" if names is None else f"{len(names)} columns"
        return f"<linesmith.Model of {what} in '{self.directory}'>"


def _lines(records: Any) -> list[str]:
    if isinstance(records, str) or not isinstance(records, Iterable):
        raise ParameterError(
            "LS101", "records", f"a {type(records).__name__}, not lines", "Give strings, one per record."
        )
    return list(checked_lines(records))


def _rows(table: TableFormat, texts: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield records as dictionaries by column."""
    from linesmith.api.frames import build_table

    while batch := list(itertools.islice(texts, _STREAMED_ROWS)):
        yield from build_table(table, batch, "arrow").to_pylist()
