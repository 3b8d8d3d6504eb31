"""Pages of documentation: paths, links, commands and flags exist, and the diagram of the rooms matches the import contracts."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from pathlib import Path

import pytest

from linesmith.cli.app import SUMMARIES, defined_command
from tools import rooms

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
# A path of the repository in backticks: a folder that ends with a slash, or a file.
PATH = re.compile(
    r"`((?:core|records|model|evaluation|transforms|runners|pipelines|linesmith|tests|tools|docs|benchmarks|examples)/[\w./-]*)`"
)


def test_the_diagram_of_the_rooms_matches_the_import_contracts():
    page = rooms.PAGE.read_text("utf-8")
    assert page == rooms.page_with_picture(page), "run: python -m tools.rooms"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page):
    named = PATH.findall((ROOT / page).read_text("utf-8"))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_pattern_also_matches_missing_paths():
    assert PATH.findall("see `model/sampling/` and `model/no_such_module.py`") == [
        "model/sampling/",
        "model/no_such_module.py",
    ]


DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
# A command in a code block or in backticks, up to the end of the line or of the backticks.
COMMAND = re.compile(r"(?:^[ \t]*|`)linesmith ([a-z][a-z-]*)((?: [^`\n]*)?)", re.MULTILINE)
LONG_FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
ANCHOR = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# An option in backticks, alone or before its value.
NAMED_FLAG = re.compile(r"`(--[A-Za-z][\w-]*)")
# Options of scripts in benchmarks/, of Beam's worker pool, and beginnings of options, that pages name alone.
OTHER_FLAGS = {"--add", "--only", "--data", "--worker_pool", "--no-", "--s3_"}


def pages() -> list[Path]:
    """Return the pages for people: those at the root, and docs/."""
    return [*(ROOT / name for name in DOCUMENTS), *sorted((ROOT / "docs").rglob("*.md"))]


def page_name(page: Path) -> str:
    """Return the path of a page from the root, for the name of a test."""
    return page.relative_to(ROOT).as_posix()


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings that are the same on a code host and on the site.

    A code host keeps letters outside ASCII and repeated hyphens, Python-Markdown does not.
    """
    anchors = set()
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"[`*]", "", heading).strip().lower()
        hosted = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        if hosted == re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip()):
            anchors.add(hosted)
    return anchors


def unresolved_anchors(text: str, page: Path) -> list[str]:
    """Return the links of a page to headings that do not exist, or whose anchors differ between a code host and the site."""
    found = []
    for target, anchor in ANCHOR.findall(FENCED.sub("", text)):
        other = text if not target else (page.parent / target).read_text("utf-8")
        if anchor not in anchors_of(other):
            found.append(f"{target}#{anchor}")
    return found


def unresolved_links(text: str, folder: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere from its folder."""
    return [target for target in LINK.findall(text) if not (folder / target).exists()]


def unknown_flags(text: str, known: dict[str, set[str]]) -> list[str]:
    """Return the commands and flags of a page that do not exist.

    Args:
        text: the page.
        known: flags of each command.
    """
    found = []
    for command, arguments in COMMAND.findall(text.replace("\\\n", " ")):
        if command not in known:
            found.append(command)
        else:
            # A comment after a command, and what is in quotes, is not part of it.
            flags = LONG_FLAG.findall(re.sub(r"'[^']*'|\s#.*", "", arguments))
            found += [f"{command} {flag}" for flag in flags if flag not in known[command]]
    return found


@pytest.fixture(scope="module")
def known_flags() -> dict[str, set[str]]:
    """Return the flags of each command: its own, and Beam's and the runners' where the command passes others on."""
    (package,) = importlib.util.find_spec("apache_beam").submodule_search_locations
    # Read, not imported: that takes ten seconds.
    sources = [Path(package, "options", "pipeline_options.py"), ROOT / "runners" / "linesmith_options.py"]
    beam = {flag for source in sources for flag in LONG_FLAG.findall(source.read_text("utf-8"))}
    known = {}
    for name, command in ((name, defined_command(name)) for name in SUMMARIES):
        own = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        passes_on = command.context_settings.get("ignore_unknown_options", False)
        known[name] = own | {"--help"} | (beam if passes_on else set())
    return known


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_relative_link_resolves(page):
    assert unresolved_links(page.read_text("utf-8"), page.parent) == []


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_command_and_flag_exists(page, known_flags):
    assert unknown_flags(page.read_text("utf-8"), known_flags) == []


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_anchor_resolves(page):
    assert unresolved_anchors(page.read_text("utf-8"), page) == []


def test_a_dead_anchor_would_be_found():
    text = "# A `b` c\n```\n# no heading\n```\n## Größe\n[1](#a-b-c) [2](#no-heading) [3](#größe) [4](docs/input.md#quotes)"
    assert unresolved_anchors(text, ROOT / "README.md") == ["#no-heading", "#größe"]


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_option_that_a_page_names_alone_exists(page, known_flags):
    known = set().union(*known_flags.values(), OTHER_FLAGS)
    named = set(NAMED_FLAG.findall(FENCED.sub("", page.read_text("utf-8"))))
    assert sorted(flag for flag in named if flag not in known and flag.replace("_", "-") not in known) == []


def test_a_dead_link_and_an_unknown_flag_would_be_found(known_flags):
    assert unresolved_links("[a](docs/stack.md) [b](docs/none.md) [c](https://x.y)", ROOT) == ["docs/none.md"]
    text = (
        "`linesmith runs`\n    linesmith run --input a \\\n  --num-line 5   # not --this\n`linesmith audit --runner X`"
    )
    assert unknown_flags(text, known_flags) == ["runs", "run --num-line", "audit --runner"]


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_module_that_a_page_names_exists(page):
    modules = [path for path in PATH.findall(page.read_text("utf-8")) if path.endswith(".py")]
    assert [path for path in modules if not (ROOT / path).exists()] == []
