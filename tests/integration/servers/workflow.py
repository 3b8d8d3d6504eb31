"""`make test-buckets`: the whole workflow with input and run directory in a bucket of a real server, beside a local run.

For each server: tokenize, train, generate, evaluate and export, then every file of the run compared with that of a local run
of the same seed; a run in one command; what must be refused; and the server gone for 20 seconds while records are made.
Exits with 1 at the first difference. Run it as `python -m tests.integration.servers.workflow [s3] [gcs]`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import linesmith
from linesmith.cli.app import run_command_line
from linesmith.pipelines.generate import shared_staging as sharing
from linesmith.pipelines.remote.local_paths import set_filesystem_options
from linesmith.transforms.storage import objects as storage
from tests.integration.servers import stores

LINES = 600
AWAY_SECONDS = 20
SMALL = [
    *("--field-delimiter", ",", "--vocab-size", "0", "--epochs", "2", "--rnn-units", "32", "--embedding-dim", "16"),
    *("--rnn-layers", "1", "--learning-rate-schedule", "linear", "--seed", "7"),
]
RECORDS = ["--num-lines", "300", "--unit-size", "100", "--output-format", "text", "--output-format", "avro"]
# These say when, where from and how long; nothing else of a run may differ.
DIFFER = (
    *("manifest.json", "model_params.json", "model_history.csv", "events.out"),
    *("/last.npz", "report.json", "index.html", "report/"),
)
LOCKS = (".lock", ".lease.json.lock")  # empty, and of this machine: no bucket has them


def main() -> None:
    kinds = sys.argv[1:] or ["s3", "gcs"]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["TMPDIR"] = tempfile.tempdir = str(place / "tmp")
        (place / "tmp").mkdir()
        lines = place / "rides.txt"
        lines.write_text(_lines(), "utf-8")
        begun = time.monotonic()
        local = place / "local"
        workflow(str(lines), str(local), str(place / "local.tar.gz"))
        say(f"local run: {time.monotonic() - begun:.0f} s")
        for kind in kinds:
            begun = time.monotonic()
            with getattr(stores, kind)(place) as store:
                os.environ.update(store.environment)
                check_store(kind, store, lines, local, place)
            say(f"{kind}: all of it, {time.monotonic() - begun:.0f} s")
    say("buckets: all passed")


def check_store(kind: str, store: stores.Store, lines: Path, local: Path, place: Path) -> None:
    set_filesystem_options()
    given, run = f"{store.bucket}/in/rides.txt", f"{store.bucket}/runs/one"
    storage.put(lines, given)
    workflow(given, run, f"{store.bucket}/models/one.tar.gz")
    compare(run, local)
    storage.fetch(f"{store.bucket}/models/one.tar.gz", place / "one.tar.gz")
    must(
        (place / "one.tar.gz").read_bytes() == (place / "local.tar.gz").read_bytes(),
        "the archive is that of the local run",
    )
    must(
        not list((place / "tmp" / f"linesmith-{os.getuid()}").glob("*/*")), "no copy of the run is left on this machine"
    )
    say("the same files as the local run, and the same archive")
    refusals(store, given, run)
    from_python(store, run)
    seeds_and_archive(store, place)
    again = place / f"again-{kind}"  # as the run becomes whose records are replaced: its report is marked
    shutil.copytree(local, again, symlinks=True)
    command("generate", "--output", str(again), *RECORDS, "--overwrite")
    if kind == "s3":
        apart(store, run, again)
    away(store, run, again)


def workflow(given: str, run: str, archive: str) -> None:
    """Every stage by itself, as a user would, then again where it must refuse."""
    command("tokenize", "--input", given, "--output", run, *SMALL)
    command("train", "--input", given, "--output", run, *SMALL)
    command("generate", "--output", run, *RECORDS)
    command("evaluate", "--output", run)
    command("export", run, archive)
    said = command("generate", "--output", run, *RECORDS, expected=2)
    must("LS204" in said and "--overwrite" in said, "a complete output is not replaced")


def seeds_and_archive(store: stores.Store, place: Path) -> None:
    """Start strings, rules and the model come from a bucket; the run directory is another one."""
    for name, text in (("seeds.txt", "3,\n7,red,\n5,\n"), ("rules.yaml", "[]\n")):
        (place / name).write_text(text)
        storage.put(place / name, f"{store.bucket}/in/{name}")
    run = f"{store.bucket}/runs/seeded"
    command("generate", "--model", f"{store.bucket}/models/one.tar.gz", "--output", run,
            "--start-strings-file", f"{store.bucket}/in/seeds.txt", "--output-format", "jsonl")  # fmt: skip
    made = [name for name in storage.list_below(f"{run}/synthetic") if name.endswith(".jsonl")]
    rows = [
        json.loads(row) for name in made for row in (storage.read_bytes(f"{run}/synthetic/{name}") or b"").splitlines()
    ]
    must([row["start_string"] for row in rows] == ["3,", "7,red,", "5,"], "each start string has its record")
    report = f"{store.bucket}/reports/one"
    command("evaluate", "--real", f"{store.bucket}/in/*.txt", "--synthetic", f"{store.bucket}/runs/one/synthetic",
            "--field-delimiter", ",", "--output", report, expected=2)  # fmt: skip
    command("evaluate", "--real", f"{store.bucket}/in/rides.txt", "--synthetic", f"{store.bucket}/runs/one/synthetic/*.txt",
            "--field-delimiter", ",", "--output", report)  # fmt: skip
    must("report/manifest.json" in storage.list_below(report), "the report is in the bucket")
    (place / "settings.yaml").write_text(f"checkpoint_dir: {run}\n")
    storage.put(place / "settings.yaml", f"{store.bucket}/in/settings.yaml")
    must(
        "complete" in command("plan", "--config", f"{store.bucket}/in/settings.yaml"), "plan reads both from the bucket"
    )
    must("Verdict" in command("compare", f"{store.bucket}/runs/one", report), "compare reads both from the bucket")
    say("start strings, archive, settings, sets and report in buckets")


def from_python(store: stores.Store, run: str) -> None:
    """Models of the run, from its directory and from its archive, are saved and loaded in the bucket by calls from Python."""
    model = linesmith.load(run)
    expected = model.sample(5)
    must(linesmith.load(f"{store.bucket}/models/one.tar.gz").sample(5) == expected, "the archive has the same model")
    for name in ("saved", "saved.tar.gz"):
        model.save(f"{store.bucket}/python/{name}")
        must(linesmith.load(f"{store.bucket}/python/{name}").sample(5) == expected, f"{name} has the same model")
    left = storage.list_below(f"{store.bucket}/python")
    must(not [name for name in left if "training_data" in name or ".writer" in name], "nothing but the model was saved")
    say("models are loaded and saved in the bucket from Python")


def refusals(store: stores.Store, given: str, run: str) -> None:
    """Wrong credentials, a missing bucket and a missing object are told in words, with exit code 2."""
    bucket = store.bucket
    for where in (given.replace("rides", "no-such"), given.replace("lines/", "no-such-bucket/")):
        said = command("tokenize", "--input", where, "--output", f"{bucket}/runs/two", *SMALL, expected=2)
        must("LS205" in said or "LS213" in said, "a missing input is told")
    missing = run.replace("lines/", "no-such-bucket/")
    said = command("tokenize", "--input", given, "--output", missing, *SMALL, expected=2)
    must("LS213" in said and "no such bucket" in said, "a missing bucket is told before anything is done")
    must(
        "LS201" in command("generate", "--output", f"{bucket}/runs/two", expected=2), "a run that is not there is told"
    )
    if bucket.startswith("s3"):  # the other server takes any token
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong" + secret[5:]
        said = command("tokenize", "--input", given, "--output", run, *SMALL, expected=2)
        must("LS213" in said and "credentials" in said, "wrong credentials are told")
        must("wrong" + secret[5:] not in said and os.environ["AWS_ACCESS_KEY_ID"] not in said, "and not repeated")
        os.environ["AWS_SECRET_ACCESS_KEY"] = secret
    say("missing objects and buckets and wrong credentials are refused in words")


def apart(store: stores.Store, run: str, local: Path) -> None:
    """Two worker processes that are told to share nothing but the bucket, as Dataflow's would."""
    shared = sharing.shared_storage_root
    sharing.shared_storage_root = lambda options: f"{store.bucket}/tmp"
    try:
        command("generate", "--output", run, *RECORDS, "--overwrite", "--direct_num_workers", "2")
    finally:
        sharing.shared_storage_root = shared
    must(storage.list_below(f"{store.bucket}/tmp") == {}, "nothing is left in the temporary place")
    compare(run, local, ("synthetic/", "invalid/"))
    say("two workers that share only the bucket: the same records")


def away(store: stores.Store, run: str, local: Path) -> None:
    """The server is killed while records are made, and comes back after 20 seconds."""
    gone, over = threading.Event(), threading.Event()

    def outage() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not _generating():
            time.sleep(0.01)
        store.stop()
        gone.set()
        time.sleep(AWAY_SECONDS)
        store.start()
        over.wait()  # the server ends with the thread that started it

    thread = threading.Thread(target=outage, daemon=True)
    thread.start()
    begun = time.monotonic()
    said = command("generate", "--output", run, *RECORDS, "--overwrite", expected=None)
    seconds = time.monotonic() - begun
    must(gone.is_set() and seconds > AWAY_SECONDS - 2, f"the server was away while records were made ({seconds:.0f} s)")
    if "error:" in said:
        say(f"the command failed in words: {said[-300:]}")
        command("generate", "--output", run, *RECORDS, "--overwrite")
    compare(run, local)  # no file is lost or left over
    how = "a re-run gave" if "error:" in said else "it was waited for:"
    say(f"server away for {AWAY_SECONDS} s during generate: {how} the same records")
    store.stop()
    over.set()
    thread.join()


def _generating() -> bool:
    """Whether a unit's work lies in the folder of a run in a bucket."""
    root = Path(tempfile.gettempdir()) / f"linesmith-{os.getuid()}"
    return any(root.glob("*/.tmp/generate-*/units"))


def compare(run: str, local: Path, below: tuple[str, ...] = ("",)) -> None:
    """Every file of a run in a bucket, and of a local run: the same names and bytes, but for what tells time and place."""
    remote = storage.list_below(run)
    here = {p.relative_to(local).as_posix(): p for p in local.rglob("*") if p.is_file() and p.name not in LOCKS}
    other = {name for name in remote.keys() ^ here.keys() if "events.out" not in name}
    must(not other, f"the same files: {sorted(other)}")
    compared = [n for n in remote if n.startswith(below) and not any(word in n for word in DIFFER)]
    must(len(compared) >= (10 if below == ("",) else 3), "shards, weights, tokenizer and graph are compared")
    for name in compared:
        if name.endswith((".tfrecord.gz", "saved_model.pb", "fingerprint.pb")):
            continue  # features in no fixed order, a time, random names: what they hold is compared by its counts and hashes
        content = storage.read_bytes(f"{run}/{name}") or b""
        must(_sha(content) == _sha(here[name].read_bytes()), f"{name} has the bytes of the local run")
    for stage in ("training_data", "synthetic"):
        counts = [json.loads(text)["counts"] for text in (storage.read_bytes(f"{run}/{stage}/manifest.json") or b"",
                  (local / stage / "manifest.json").read_bytes())]  # fmt: skip
        other = {
            name: (counts[0].get(name), value)
            for name, value in counts[1].items()
            if not same(counts[0].get(name), value)
        }
        must(not other, f"the counts of {stage} are those of the local run: {other}")
    texts = b"".join(storage.read_bytes(f"{run}/{n}") or b"" for n in remote if n.endswith((".json", ".html")))
    must(tempfile.gettempdir().encode() not in texts, "nothing published names the folder it was made in")


def same(one: object, other: object) -> bool:
    """Equal; a share is a sum of floats, whose last bits depend on how many threads a matrix product has."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-6
    return one == other


def command(*words: str, expected: int | None = 0) -> str:
    """Run a command in this process; what it said on both streams."""
    said = io.StringIO()
    begun = time.monotonic()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run_command_line(list(words))
    text = said.getvalue()
    if expected is not None and code != expected:
        say(text)
        must(False, f"linesmith {' '.join(words[:5])} … ended with {code}, not {expected}")
    say(f"  linesmith {words[0]} … ended with {code} after {time.monotonic() - begun:.1f} s")
    return " ".join(text.split()) + (" error:" if code and "error:" not in text else "")


def must(true: bool, what: str) -> None:
    if not true:
        print(f"FAILED: {what}", flush=True)
        sys.exit(1)


def say(what: str) -> None:
    print(what, file=sys.__stdout__, flush=True)


def _lines() -> str:
    draw = random.Random(0)
    rows: list[Callable[[], str]] = [
        lambda: str(draw.randint(1, 9)),
        lambda: draw.choice(["red", "green", "blue"]),
        lambda: str(draw.randint(10, 99)),
    ]
    return "".join(",".join(one() for one in rows) + "\n" for _ in range(LINES))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
