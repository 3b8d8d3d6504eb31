"""The history of a training is read as it was written, whatever numbers it was given."""

from __future__ import annotations

from linesmith.core.artifacts.history import EpochState, read_history, write_history
from linesmith.records.output.comparison import NUMBER, ComparisonKind


class Scalar(float):
    """A float that is shown with its type, as the scalars of numpy 2 are."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)!r})"


def test_scalars_of_numpy_2_are_written_as_numbers(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, [EpochState(0, loss=Scalar(0.5), val_loss=Scalar(0.1))], 0)
    (row,) = read_history(path)
    assert (row["loss"], row["val_loss"], row["accuracy"]) == (0.5, 0.1, None)


def test_scalars_of_numpy_2_are_compared_as_numbers():
    assert ComparisonKind(NUMBER).text(Scalar(1.5)) == ComparisonKind(NUMBER).text(1.5) == "1.5"
