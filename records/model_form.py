"""The form in which the model is given the fields of a record: some as differences, and in an order of its own.

`RecordFormat.mark_fields` and `TokenFormat.split_record` write this form, and `TokenFormat` reads it when ids become text. Token
ids, masks and the texts of training data have it; everything else has the fields of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linesmith.records.field_differences import FieldDifferences
from linesmith.records.field_order import FieldOrder
from linesmith.records.fields import FIELD_BREAK


@dataclass(frozen=True)
class ModelForm:
    """How the fields of the input become those of the model.

    Attributes:
        order: in which the model is given the fields; None: that of the input.
        differences: fields that it is given as differences; None: there are none.

    Example:
        >>> from linesmith.records.field_differences import FieldDifference
        >>> form = ModelForm(FieldOrder((2, 0, 1)), FieldDifferences((FieldDifference(1, 0),)))
        >>> form.to_model(["5", "7", "x"]), form.to_input(["x", "5", "2"])
        (['x', '5', '+2'], ['5', '7', 'x'])
    """

    order: FieldOrder | None = None
    differences: FieldDifferences | None = None

    def __bool__(self) -> bool:
        """Return whether the model's fields are other than those of the input."""
        return self.order is not None or self.differences is not None

    def to_model(self, fields: Sequence[str]) -> list[str]:
        """Return the fields of the model, given those of the input."""
        found = list(fields) if self.differences is None else self.differences.to_model(fields)
        return found if self.order is None else self.order.to_model(found)

    def to_input(self, fields: Sequence[str]) -> list[str]:
        """Return the fields of the input, given those of the model.

        Raises:
            ValueError: a difference or its base is no number; the message holds neither.
        """
        found = list(fields) if self.order is None else self.order.to_input(fields)
        return found if self.differences is None else self.differences.to_input(found)

    def mark_for_model(self, marked: str) -> str:
        """Return the record of the model, given that of the input, both with FIELD_BREAK between their fields."""
        return FIELD_BREAK.join(self.to_model(marked.split(FIELD_BREAK))) if self else marked

    def mark_for_input(self, marked: str) -> str:
        """Return the record of the input, given that of the model, both with FIELD_BREAK between their fields.

        Raises:
            ValueError: as `to_input`.
        """
        return FIELD_BREAK.join(self.to_input(marked.split(FIELD_BREAK))) if self else marked


AS_IN_THE_INPUT = ModelForm()
