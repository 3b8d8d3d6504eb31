#!/usr/bin/env bash
# Install the wheel with its base dependencies, without the libraries that fit tokenizers, in a clean environment outside the
# checkout, and generate from a run directory that the checkout made and that has been moved since.
set -euo pipefail
checkout="$(cd "$(dirname "$0")/../.." && pwd)"
bin="${BIN:-$checkout/.venv/bin}"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT

echo "a small model, made by the checkout"
"$bin/python" - "$place/rides.txt" <<'PY'
import random
import sys

draw = random.Random(0)
with open(sys.argv[1], "w") as out:
    for number in range(400):
        out.write(f"{draw.randint(1, 9)},{draw.choice(['red', 'green', 'blue'])},{draw.randint(10, 99)}\n")
PY
cd "$place"
"$bin/linesmith" tokenize --input rides.txt --output made --field-delimiter , --vocab-size 0
"$bin/linesmith" train --input rides.txt --output made --field-delimiter , --vocab-size 0 \
  --epochs 2 --rnn-units 32 --embedding-dim 16 --rnn-layers 1
mv made moved
rm rides.txt

echo "the wheel"
git -C "$checkout" ls-files -z | (cd "$checkout" && xargs -0 cp -P --parents -t "$(mkdir -p "$place/source" && echo "$place/source")")
"$bin/python" -m build --wheel --no-isolation --outdir "$place/dist" "$place/source" > "$place/build.log" 2>&1 || { cat "$place/build.log"; exit 1; }
"$bin/python" - "$place"/dist/*.whl <<'PY'
import sys
import zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
assert top == {"linesmith"}, top
assert "linesmith/py.typed" in names
assert "linesmith/model/sampling/kernel/steps.abi3.so" in names
assert "-cp311-abi3-" in sys.argv[1], sys.argv[1]
PY

echo "a clean environment with the base dependencies only"
sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ ;\\]*\).*/\1==\3/p' "$checkout/${LOCK:-requirements-3.11.lock}" > "$place/versions.txt"
"$bin/uv" venv --quiet --python "$bin/python" "$place/clean"
"$bin/uv" pip install --quiet --python "$place/clean/bin/python" --constraint "$place/versions.txt" "$place"/dist/*.whl
unset PYTHONPATH
"$place/clean/bin/python" - <<'PY'
import importlib.util

present = [name for name in ("tensorflow", "keras", "tensorflow_transform", "tfx_bsl", "tensorflow_text", "tf_keras") if importlib.util.find_spec(name)]
assert not present, f"the base installation brings {present}"
import apache_beam.runners.interactive.interactive_environment  # noqa: E402,F401 - Beam imports it wherever IPython runs
PY

echo "generate, there"
"$place/clean/bin/linesmith" generate --output moved --num-lines 20 --output-format text,avro
"$place/clean/bin/python" - <<'PY'
import glob

import fastavro

lines = [line for path in glob.glob("moved/synthetic/*.txt") for line in open(path).read().splitlines()]
typed = [record for path in glob.glob("moved/synthetic/*.avro") for record in fastavro.reader(open(path, "rb"))]
assert len(lines) == len(typed) == 20, (len(lines), len(typed))
PY
echo "a base installation: $(du -sm "$place/clean" | cut -f1) MB"
echo "tokenize and train, without their extras, are refused:"
for command in tokenize train; do
  code=0
  "$place/clean/bin/linesmith" $command --input moved/model_params.json --output other || code=$?
  [ "$code" = 2 ] || { echo "$command ended with $code instead of 2"; exit 1; }
done

echo "every stage, in working directories whose files have the names of the rooms"
wheel="$(echo "$place"/dist/*.whl)"
"$bin/uv" pip install --quiet --python "$place/clean/bin/python" --constraint "$place/versions.txt" \
  "linesmith[tokenize,evaluate] @ file://$wheel" nbclient ipykernel
"$place/clean/bin/python" "$checkout/tests/integration/hostile_directory.py" "$place/hostile" \
  --notebook "$checkout/examples/quickstart.ipynb" ${HOSTILE_OPTIONS:-}
echo "the wheel works"
