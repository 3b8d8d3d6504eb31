"""Fuzz run directories that somebody else gave, as `plan`, `export`, `generate`, `evaluate` and `compare` read them.

`tests/fixtures/run_directories.tar.xz` holds a plain run (SentencePiece, schema, rules) and a private one (bytes, audit), both of
400 invented records. An input is the name of one of them and the files that differ in it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from linesmith.cli import app, errors
from linesmith.cli.commands.compare import show_comparison
from linesmith.cli.commands.plan import show_plan
from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.artifacts.checkpoints import digest_arrays
from linesmith.core.artifacts.files import remove_path
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.params import read_stored_config
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.artifacts.stored_arrays import load_arrays
from linesmith.core.errors import EXIT_USER_ERROR, LinesmithError
from linesmith.model.generation.from_config import sampler_options
from linesmith.model.sampling.masks import token_automaton
from linesmith.model.tokenizers import loading, tokenizer_from_model_dir
from linesmith.model.tokenizers.token_format import token_format_from_params
from linesmith.pipelines.evaluate.context import not_covered, refuse_other_claim, run_context
from linesmith.pipelines.evaluate.refresh import mark_report_stale
from linesmith.pipelines.evaluate.report import page, plots
from linesmith.pipelines.evaluate.sets import run_evaluation_sets
from linesmith.pipelines.export import export
from linesmith.pipelines.generate.plan import plan_generation
from linesmith.runners import pipeline_options
from linesmith.transforms.read_evaluation_sets import read_set_unit
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated, mutated_json

pytestmark = pytest.mark.integration
PACKED = Path(__file__).parents[1] / "fixtures" / "run_directories.tar.xz"
FILE = b"\0\1file "
# Content of a file that is none.
FIFO, DIRECTORY, LINK = b"\0fifo", b"\0directory", b"\0link "
LINKS = [LINK + target for target in (b"/dev/zero", b"/dev/full", b".", b"model_params.json", b"/nowhere")]
Files = dict[str, bytes]


@cache
def examples() -> dict[str, Files]:
    """Return the files of each run directory, by name."""
    found: dict[str, Files] = {}
    with tarfile.open(PACKED) as tar:
        for member in tar:
            if member.isfile():
                run, _, name = member.name.partition("/")
                found.setdefault(run, {})[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def damaged(random: Random, name: str, data: bytes) -> bytes:
    """Return a file with a change that its format has room for, or what is no file."""
    if not random.randint(0, 15):
        return random.choice([FIFO, DIRECTORY, *LINKS])
    if name.endswith((".json", ".avsc")) and random.randint(0, 7):
        return mutated_json(random, [json.loads(data)], ["plain", "private", {"train": {"records": 10**9}}, "infinite"])
    return mutated(random, [data], [b"NaN", b",", b"\0", b"{", b"- "])


def make(random: Random, folders: str = "") -> bytes:
    """Return one to three damaged files of a run directory.

    Args:
        random: source of all choices.
        folders: matches the beginnings of their names.
    """
    run = random.choice([*examples()])
    files = {name: data for name, data in examples()[run].items() if re.match(folders, name)}
    changed = {
        name: damaged(random, name, files[name]) for name in random.sample([*files], random.choice([1, 1, 2, 3]))
    }
    if random.randint(0, 1):
        with contextlib.suppress(
            LinesmithError, LookupError, TypeError, ValueError, AttributeError, RecursionError, OSError
        ):
            changed |= with_digests(run, changed)
    return run.encode() + b"".join(FILE + name.encode() + b"\n" + data for name, data in changed.items())


def with_digests(run: str, changed: Files) -> Files:
    """Return the files that name digests of others, as whoever changes those would write them."""
    files, fixed = {**examples()[run], **changed}, {}
    params, model = (json.loads(files[name]) for name in ("tokenizer/tokenizer_params.json", "model/model.json"))
    with written(run, changed) as root:
        kind = {one.kind: one for one in loading._TOKENIZERS}[params["kind"]]
        token_format = token_format_from_params(params, root)
        params["digest"] = kind._load_vocabulary(root / "tokenizer" / kind.vocabulary_file, token_format).digest
        weights = digest_arrays(load_arrays(root / "model/checkpoints/best.npz")[0])
    fixed["tokenizer/tokenizer_params.json"] = json.dumps(params).encode()
    digests = {"tokenizer_digest": params["digest"], "weights_digest": weights}
    fixed["model/model.json"] = json.dumps({**model, **digests}).encode()
    if run == "private":
        statement = json.loads(files["model/privacy.json"])
        fixed["model/privacy.json"] = json.dumps({**statement, "weights": {"best.npz": weights}}).encode()
    return fixed


def place(path: Path, data: bytes) -> None:
    """Write a file, or what takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_path(path)
    if data == FIFO:
        os.mkfifo(path)
    elif data == DIRECTORY:
        path.mkdir()
    elif data.startswith(LINK):
        path.symlink_to(data.removeprefix(LINK).decode("latin-1").replace("\0", "") or ".")
    else:
        path.write_bytes(data)


@contextlib.contextmanager
def written(run: str, changed: Files) -> Iterator[Path]:
    """Write a run directory with changed files; afterwards it is as it was."""
    root, files = Path(run), examples()[run]
    for name, data in (changed if root.exists() else {**files, **changed}).items():
        place(root / name, data)
    try:
        yield root
    finally:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_dir() and not path.is_symlink():
                if not any(known.startswith(f"{name}/") for known in files):
                    remove_path(path)
            elif name not in files:
                path.unlink(missing_ok=True)
        for name in files:
            if (root / name).is_symlink() or not (root / name).is_file() or (root / name).read_bytes() != files[name]:
                place(root / name, files[name])


def console() -> Console:
    """Return a console that cannot write what is not Unicode, as a terminal."""
    return Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"))


def _plan(root: Path) -> None:
    show_plan(console(), resolve(CommandLine("plan", {"checkpoint_dir": str(root)})))


def _export(root: Path) -> None:
    export(str(root), "model.tar.gz", overwrite=True)


def _generate(root: Path) -> None:
    """Do all that precedes sampling."""
    settings = {"checkpoint_dir": str(root), "gen_lines": 2, "overwrite": True}
    config = resolve(CommandLine("generate", settings, unset=("rules", "schema_file")))
    plan = plan_generation(config, pipeline_options([]))
    info, tokenizer = read_model_info(root), tokenizer_from_model_dir(root)
    options = sampler_options(config, info, plan.record_validator.field_count)
    if tokenizer.total_vocab_size == info.vocab_size:
        token_automaton(tokenizer, info, options)
    tokenizer.decode_structure(range(min(tokenizer.total_vocab_size, 100)))
    mark_report_stale(root)


def _evaluate(root: Path) -> None:
    """Do all that reads the directory, and write the page of the figures that the fixture has."""
    config = read_stored_config(root)[0]
    run = RunDirectory(run_directory(config).root, config.dp)
    read_manifest(run.raw / "report")
    sets = run_evaluation_sets(config, run)
    for unit in sets.units:
        for _, (_, text) in read_set_unit(unit):
            text.validate()
    refuse_other_claim(run)
    body = json.loads(examples()["plain"]["report/report.json"])
    body["context"] = {**run_context(config, run), "memory": None}
    body["not_covered"] = not_covered(body, body["context"])
    page.render(body)
    json.dumps(body)


def _compare(root: Path) -> None:
    show_comparison(console(), (str(root), str(root)), (str(root), str(root)))


COMMANDS: list[Callable[[Path], None]] = [_plan, _export, _generate, _evaluate, _compare]


def parsed(content: bytes) -> tuple[str, Files]:
    """Return the run and the files of an input."""
    run, *rest = content.split(FILE)
    files = {}
    for part in rest:
        name, _, data = part.partition(b"\n")
        if name.decode("latin-1") in {name for files in examples().values() for name in files}:
            files[name.decode()] = data
    return ("private" if run == b"private" else "plain"), files


def read(content: bytes) -> None:
    """Read a run directory by every command."""
    run, files = parsed(content)
    for command in COMMANDS:
        try:
            with written(run, files) as root:
                command(root)
        except Exception as error:
            if errors.explain(error)[1] != EXIT_USER_ERROR:
                raise


def generate(content: bytes) -> None:
    """Generate two records from a run directory, by the command itself."""
    run, files = parsed(content)
    with written(run, files) as root, pytest.MonkeyPatch.context() as patch:
        raised: list[BaseException] = []
        explain = errors.explain
        patch.setattr(errors, "explain", lambda error: (raised.append(error), explain(error))[1])
        words = ["generate", "--output", str(root), "--num-lines", "2", "--overwrite", "--num-shards", "1"]
        code = app.run_command_line([*words, "--max-attempts", "3", "--max-invalid", "4"])
    if code not in (0, 2, 4):
        raise raised[0] if raised else AssertionError(code)


TARGET = Target("run_directory", read)
GENERATE_TARGET = Target("generate", generate)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("id,word,day,place\n1,ab,2020-01-01,0.5\n")
    monkeypatch.setattr(plots, "field_plot", lambda _: None)  # slow, and its figures are those of the fixture


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.parametrize("content", GENERATE_TARGET.corpus())
def test_found_cases_of_generate(content: bytes) -> None:
    GENERATE_TARGET.check(content)


def test_the_examples_are_read() -> None:
    for run in examples():
        for command in COMMANDS:
            with written(run, {}) as root:
                command(root)


def test_fuzz_run_directories() -> None:
    for run in examples():  # loads TensorFlow before memory is bounded
        read(run.encode())
    TARGET.fuzz(make, 20)


def test_fuzz_generate() -> None:
    for run in examples():
        generate(run.encode())
    GENERATE_TARGET.fuzz(lambda random: make(random, "model|tokenizer"), 3)
