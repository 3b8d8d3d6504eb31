#!/usr/bin/env bash
# What must be seen on the first GPU at hand, in some ten minutes: that training runs on it, plain and private, that its losses are those
# of the CPU, and at what rates; then generation, which uses no GPU, from both models.
#
#     bash benchmarks/gpu_check.sh [DIRECTORY]        DIRECTORY: of the runs; default: a temporary one
#
# On a machine without a GPU, GPU_CHECK_DEVICE=cpu compares the CPU with itself: a trial of the script alone.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" TF_CPP_MIN_LOG_LEVEL=3
place="${1:-$(mktemp -d)}"
seconds="${GPU_CHECK_SECONDS:-60}"
mkdir -p "$place"

if [ "${GPU_CHECK_DEVICE:-gpu}" = gpu ]; then
  nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
  python -c 'import sys, tensorflow as tf; sys.exit(not tf.config.list_physical_devices("GPU"))' ||
    { echo "TensorFlow sees no GPU: install tensorflow[and-cuda] of the version in the lock"; exit 2; }
fi
python - "$place/airports.txt" <<'PY'
import sys
from pathlib import Path

from linesmith.cli.commands.demo import airport_lines

Path(sys.argv[1]).write_text("".join(f"{line}\n" for line in airport_lines(4_000)))
PY
table=(--input "$place/airports.txt" --field-delimiter '|' --columns name,city,country,elevation,lat,lon --holdout-fraction 0)

on() { # on gpu|cpu COMMAND …
  if [ "$1" = cpu ]; then CUDA_VISIBLE_DEVICES='' "${@:2}"; else "${@:2}"; fi
}

# Two epochs from the same seed: the same rows, the same dropout masks, other roundings.
for device in cpu gpu; do
  on "$device" linesmith tokenize "${table[@]}" --output "$place/same-$device" --overwrite > "$place/same-$device.log" 2>&1
  on "$device" linesmith train "${table[@]}" --output "$place/same-$device" --epochs 2 --seed 1 --matmul-precision float32 --overwrite \
    >> "$place/same-$device.log" 2>&1
done
# One after the other: how far a plain training comes in the same time, and how long the steps of a private one take.
declare -A options=(
  [plain]="--max-training-time-seconds $seconds"
  [private]="--dp --dp-target-epsilon 8 --epochs ${GPU_CHECK_PRIVATE_EPOCHS:-5}"
)
for device in cpu gpu; do
  for kind in plain private; do
    code=0
    # A private model of few epochs may end with 4: too few of its records are valid.
    on "$device" linesmith run "${table[@]}" ${options[$kind]} --output "$place/$kind-$device" --num-lines 500 --no-report --overwrite \
      > "$place/$kind-$device.log" 2>&1 || code=$?
    [ "$code" = 0 ] || [ "$code" = 4 ] || { cat "$place/$kind-$device.log"; exit "$code"; }
  done
done
python - "$place" <<'PY'
import csv
import sys
from pathlib import Path

from linesmith.core.artifacts.files import read_json

place = Path(sys.argv[1])


def history(run: str) -> list[dict[str, str]]:
    with open(place / run / "model_history.csv") as file:
        return list(csv.DictReader(file))


same = True
for ours, theirs in zip(history("same-cpu"), history("same-gpu"), strict=True):
    losses = [float(row["val_loss"]) for row in (ours, theirs)]
    same &= abs(losses[0] - losses[1]) < 0.02 * losses[0]
    print(f"epoch {ours['epoch']}: validation loss {losses[0]:.4f} on the CPU, {losses[1]:.4f} on the GPU")
for kind in ("plain", "private"):
    for device in ("cpu", "gpu"):
        rows = history(f"{kind}-{device}")
        valid = read_json(place / f"{kind}-{device}" / "synthetic" / "manifest.json", "a manifest")["counts"]
        seconds = next(line for line in (place / f"{kind}-{device}.log").read_text().splitlines() if line.startswith("train: "))
        print(f"{kind}, {device}: {len(rows)} epochs, loss {rows[-1]['loss'][:6] or 'not released'}, {valid['records']} records; {seconds}")
print("the losses agree" if same else "THE LOSSES DIFFER")
sys.exit(not same)
PY
