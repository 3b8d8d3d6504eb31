#!/usr/bin/env bash
# Do what Dataflow's workers do without an image: build the sdist as Beam does, install it in a clean environment outside the
# checkout, and run the DoFns of a translated job there. The checkout is not on the import path.
set -euo pipefail
checkout="$(cd "$(dirname "$0")/../.." && pwd)"
bin="${BIN:-$checkout/.venv/bin}"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
git -C "$checkout" ls-files -z --cached --others --exclude-standard |
  (cd "$checkout" && xargs -0 cp -P --parents -t "$(mkdir -p "$place/source" && echo "$place/source")")

echo "a translated job of generate, and what it stages"
cd "$place"
PYTHONPATH="$place/source" "$bin/python" "$checkout/tests/integration/dataflow_job.py" "$place"

echo "a clean environment with the sdist and its base dependencies only"
sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ ;\\]*\).*/\1==\3/p' "$checkout/${LOCK:-requirements-3.11.lock}" > "$place/versions.txt"
"$bin/uv" venv --quiet --python "$bin/python" "$place/clean"
"$bin/uv" pip install --quiet --python "$place/clean/bin/python" --constraint "$place/versions.txt" "$place/workflow.tar.gz"
rm -rf "$place/source"
unset PYTHONPATH

echo "a worker's DoFns, from there"
"$place/clean/bin/python" - "$place" <<'PY'
import pathlib
import sys

place = pathlib.Path(sys.argv[1])
import linesmith.transforms

assert str(place / "clean") in linesmith.transforms.__file__, linesmith.transforms.__file__
from apache_beam.internal import pickler

handler, units = pickler.loads((place / "handler.pickle").read_bytes())
loaded = handler.load_model()
assert loaded.failure is None, loaded.failure
done = list(handler.run_inference(units, loaded))
assert [one.records for one in done] == [20, 20], done
made = sorted(path.name for path in (place / "staging" / "synthetic").iterdir())
print("units of", [one.records for one in done], "records in", ", ".join(made))
PY
echo "the staged sdist works"
