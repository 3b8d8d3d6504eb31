"""The code blocks of the tutorial and of the how-to pages run in order, as index.md promises."""

from __future__ import annotations

import pytest

from tests.helpers.page_blocks import RUN_PAGES, blocks, run_blocks

pytestmark = pytest.mark.integration
# Commands that take a few seconds, since they load neither TensorFlow nor Beam.
_QUICK = ("linesmith plan ", "linesmith doctor --quick")


def assert_ran(done):
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_blocks_of_a_page_run_in_order(page, tmp_path):
    assert_ran(run_blocks(blocks(page), tmp_path))


@pytest.mark.parametrize("page", ["tutorial.md", "howto/csv.md"])
def test_the_quick_commands_of_a_page_run(page, tmp_path):
    quick = [block for block in blocks(page) if block.language == "sh" and block.text.startswith(_QUICK)]
    assert quick
    assert_ran(run_blocks(quick, tmp_path))
