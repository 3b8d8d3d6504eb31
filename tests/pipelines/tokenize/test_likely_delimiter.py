"""The note for somebody who gave no delimiter: it comes for rows of a table, and not for text."""

from __future__ import annotations

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.tokenize.likely_delimiter import likely_delimiter
from linesmith.pipelines.tokenize.stage import tokenize


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{n},Rome,41.{n}", (",", 3)),
        ("{n}\tx", ("\t", 2)),
        ("{n};1,5;2,5;3", (";", 4)),
        ("a|{n}|", ("|", 3)),
        ('"Rome, {n}",Italy,x', (",", 3)),
        ("2024-05-01 12:00:{n:02d} GET /", None),
        ("one, two", None),
        ("", None),
    ],
)
def test_a_delimiter_is_found_by_equal_numbers_of_fields(line, found) -> None:
    assert likely_delimiter([line.format(n=number) for number in range(50)]) == found


def test_text_with_commas_is_no_table() -> None:
    lines = ["I came, I saw", "Well", "a, b, c", "x, y, z, w", "no"] * 20
    assert likely_delimiter(lines) is None
    assert likely_delimiter(["1,2,3"] * 97 + ["1"] * 3) is None
    assert likely_delimiter(["1,2,3"] * 10) is None


@pytest.mark.integration
@pytest.mark.parametrize("given", [{}, {"field_delimiter": ","}])
def test_tokenize_says_so_unless_a_delimiter_is_given(tmp_path, given) -> None:
    (tmp_path / "rows.csv").write_text("id,city,x\n" + "".join(f"{n},Rome,{n % 7}\n" for n in range(60)))
    config = TensorFlowConfig(
        input_data_path=str(tmp_path / "rows.csv"), checkpoint_dir=str(tmp_path / "run"), vocab_size=0, **given
    )
    noted = [notice for notice in tokenize(config).notices if "--field-delimiter ','" in notice]
    assert len(noted) == (0 if given else 1)
    if noted:
        assert "most records have 3 fields" in noted[0]
