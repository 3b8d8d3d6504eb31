"""Models as transforms take them: on the driver, which needs the columns, and on workers, which need the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from linesmith.api.loading import load
from linesmith.api.model import Model
from linesmith.api.requests import generation_settings
from linesmith.api.saving import place_of
from linesmith.core.artifacts.model_info import TABLE_FILE, read_model_info
from linesmith.core.config.generation import REQUEST_SETTINGS
from linesmith.core.config.spelling import python_call
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.model.generation.requests.requested_records import RequestedRecords, RequestKind
from linesmith.records.output.layout import resolve_column_names
from linesmith.records.roles.stored_roles import read_roles
from linesmith.records.table_format import TableFormat, read_table_format

ARGUMENTS = {"--where-file (where_file)": "conditions", "--where-file": "conditions", "--impute": "conditions"}


@dataclass(frozen=True)
class ModelPlace:
    """A model, and the settings with which it generates. It is sent to workers, which load the model from its place.

    Attributes:
        place: a run directory, an archive, or the bucket address of one of them.
        seed: of the records; None: that of the training.
        where: values that every record has, by column.
        settings: other settings of generation.
    """

    place: str
    seed: int | None = None
    where: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(
        model: str | os.PathLike[str] | Model,
        seed: int | None = None,
        where: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> ModelPlace:
        """Return the place of a model.

        Args:
            model: its path or address, or the model itself, whose directory workers have to reach.
            seed: as the attribute.
            where: as the attribute.
            settings: as the attribute.
        """
        path = model.directory.absolute() if isinstance(model, Model) else model
        place = place_of("model", path)
        if "://" not in place:
            place = os.path.abspath(place)
        return ModelPlace(place, seed, where, dict(settings or {}))

    def moved(self, place: str) -> ModelPlace:
        """Return another model with the same settings."""
        return replace(self, place=place)

    def check_elements(self, kind: RequestKind) -> None:
        """Refuse settings that say what records are given, where elements say it.

        Raises:
            ParameterError: LS101.
        """
        given = ["where"] * (self.where is not None) + [name for name in REQUEST_SETTINGS if name in self.settings]
        if kind != "numbers" and given:
            raise ParameterError("LS101", given[0], f"the elements are {kind}", "Give it with the elements.")

    def load(self) -> LoadedModel:
        """Load the description of the model; an archive or one in a bucket is copied to this machine.

        Raises:
            DataError: as `linesmith.load`.
            ParameterError: a setting cannot be given here.
        """
        model = load(self.place)
        return LoadedModel(model, self)


@dataclass
class LoadedModel:
    """A model on this machine.

    Attributes:
        model: the model, which keeps a temporary copy as long as this object lives.
        origin: where it came from.
    """

    model: Model
    origin: ModelPlace

    @property
    def config(self) -> TensorFlowConfig:
        """The settings of generation."""
        config = self.model.settings.replace(checkpoint_dir=str(self.model.directory.absolute()), overwrite=False)
        place = self.origin
        return generation_settings(config, place.where, place.seed, place.settings, self.learned_table)

    @cached_property
    def learned_table(self) -> TableFormat | None:
        """The columns that the model knows, where it was trained on a table; otherwise None."""
        directory = self.model.directory / "model"
        table, roles = read_table_format(directory / TABLE_FILE), read_roles(directory)
        return table if table is None or roles is None else table.without(frozenset(roles.roles))

    @property
    def learned_columns(self) -> list[str] | None:
        """Names of the columns that the model knows; None where its records are lines without fields."""
        if self.learned_table is not None:
            return [column.name for column in self.learned_table.columns]
        info, settings = read_model_info(self.model.directory), self.model.settings
        if settings.field_delimiter is None:
            return None
        return resolve_column_names(settings.learned_columns, info.columns, info.field_count)

    def requested_records(self, kind: RequestKind, *, fill: bool, skip_missing: bool) -> RequestedRecords:
        """Return the generator of records; arguments as it takes them."""
        with python_call(ARGUMENTS), quiet_calls():
            return RequestedRecords(self.config, kind, fill=fill, skip_missing=skip_missing)


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuse the value of an argument that is none of the choices.

    Raises:
        ParameterError: LS101.
    """
    if value not in choices:
        words = ", ".join(repr(choice) for choice in choices)
        raise ParameterError("LS101", f"{name} {value!r}", "unknown", f"Give one of {words}.")
