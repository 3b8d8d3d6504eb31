"""The documentation site, without mkdocs: navigation, blocks, options and settings that pages name, pictures, sample data."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import linesmith
from linesmith.core.config.tensorflow_config import fields
from tests.helpers.page_blocks import RUN_PAGES, SMALL, blocks, blocks_of, write_script
from tools.docs import hooks, sample_data

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
# Pages at the root of the repository that tools/docs/hooks.py adds.
ROOT_PAGES = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}


def nav_targets(nav) -> list[str]:
    """Return the pages of a navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    values = nav if isinstance(nav, list) else nav.values()
    return [target for value in values for target in nav_targets(value)]


def make_targets() -> set[str]:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text().replace("\\\n", " "), re.MULTILINE)
    return set(phony.split())


def test_the_navigation_has_every_page_once():
    targets = nav_targets(SITE["nav"])
    assert len(targets) == len(set(targets))
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(targets) == written | ROOT_PAGES


def test_a_dead_link_or_anchor_ends_the_build():
    checks = SITE["validation"]
    assert SITE["strict"] is True
    (recipe,) = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "mkdocs build" in line]
    assert "--strict" in recipe and "--quiet" not in recipe  # mkdocs does not count warnings that it does not show
    assert {checks["links"][name] for name in ("not_found", "anchors", "absolute_links")} == {"warn"}


@pytest.mark.parametrize(
    "page", sorted({path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | ROOT_PAGES)
)
def test_every_link_leads_into_the_site(page):
    text = (ROOT / page if page in ROOT_PAGES else DOCS / page).read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", hooks.with_site_links(text, page)):
        path = (Path(page).parent / target).as_posix()
        assert hooks.source_of(path).is_file(), target


@pytest.mark.parametrize("page", RUN_PAGES)
def test_every_block_of_a_page_is_run_or_says_what_runs_it(page):
    for block in blocks(page):
        assert block.language in ("sh", "python", "text") or block.title is not None, block.text
        assert max(map(len, block.text.splitlines())) <= 80, "a wider block scrolls in the site"
        if block.reason is not None:
            assert set(re.findall(r"make ([a-z-]+)", block.reason)) & make_targets(), block.reason


def test_blocks_are_found_and_put_in_order(tmp_path):
    page = (
        "```sh\none\n```\n\n<!-- not run here: make test-flink -->\n```sh\ntwo\n```\n"
        '```python\na = 1\n```\n```python\nb = a\n```\n```yaml title="x.yaml"\n- y\n```\n```text\nz\n```\n'
    )
    found = blocks_of(page)
    assert [(block.language, block.title, block.reason) for block in found] == [
        ("sh", None, None),
        ("sh", None, "make test-flink"),
        ("python", None, None),
        ("python", None, None),
        ("yaml", "x.yaml", None),
        ("text", None, None),
    ]
    script = write_script(found, tmp_path).read_text()
    assert "one" in script and "two" not in script
    assert (tmp_path / "block_1.py").read_text().endswith("a = 1\nb = a\n")
    assert (tmp_path / "x.yaml").read_text() == "- y\n"


def test_the_home_page_says_what_the_test_of_the_blocks_adds():
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in SMALL.items())
    assert f"`{flags}`" in (DOCS / "index.md").read_text("utf-8")


def test_the_python_page_names_every_public_name():
    text = (DOCS / "api.md").read_text("utf-8")
    named = set(re.findall(r"^::: linesmith\.(\w+)$", text, re.MULTILINE)) | {"LocalConfig", "train_rnn"}
    assert named == set(linesmith.__all__) - {"__version__"}


def test_the_sample_data_are_what_their_script_writes():
    for name, make in sample_data.FILES.items():
        assert (ROOT / "examples" / name).read_text("utf-8") == make(), "run: python -m tools.docs.sample_data"


def test_every_picture_is_small_and_described():
    pictures = sorted((DOCS / "images").iterdir())
    assert len(pictures) >= 3
    text = "".join(path.read_text("utf-8") for path in DOCS.rglob("*.md"))
    for path in pictures:
        assert path.stat().st_size < 150_000, path.name
        assert re.search(rf"!\[[^\]]{{20,}}\]\([./]*images/{path.name}\)", text), path.name


def test_the_lock_of_the_site_holds_what_the_project_file_names():
    lock = (ROOT / "requirements-docs.lock").read_text("utf-8")
    group = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]["docs"]
    locked = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    assert {re.split(r"[<>=]", requirement)[0] for requirement in group} <= locked
    assert lock.count("--hash=sha256:") >= len(locked)
    assert "http" not in lock


SETTING = re.compile(r"`([a-z]+(?:_[a-z]+)+)=[^`]*`")


@pytest.mark.parametrize("page", ["tutorial.md", *RUN_PAGES, "python.md"])
def test_every_setting_that_a_page_gives_exists(page):
    text = (DOCS / page).read_text("utf-8")
    code = "".join(block.text for block in blocks(page) if block.language == "python" and block.title is None)
    given = {name for call in re.findall(r"linesmith\.fit\(([^()]*)\)", code) for name in re.findall(r"(\w+)=", call)}
    given -= {"minutes", "output", "progress"}
    assert [name for name in given if name not in fields()] == []
    assert [
        name
        for name in SETTING.findall(text)
        if name not in fields() and name not in ("skip_on_exit_code", "allow_retries")
    ] == []
