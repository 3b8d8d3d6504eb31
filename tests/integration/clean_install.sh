#!/usr/bin/env bash
# Install a wheel with all extras in a clean environment and do there what a newcomer does: the code of examples/quickstart.ipynb,
# that of docs/python.md, and the demo.
#   clean_install.sh PYTHON WHEEL [SECONDS]     SECONDS: training time of the demo, default 20
set -euo pipefail
python="$1" wheel="$(realpath "$2")" seconds="${3:-20}"
checkout="$(cd "$(dirname "$0")/../.." && pwd)"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
unset PYTHONPATH

"$python" -m venv "$place/clean"
"$place/clean/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$checkout/requirements-bootstrap.lock"
version="$("$place/clean/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ ;\\]*\).*/\1==\3/p' "$checkout/requirements-$version.lock" > "$place/versions.txt"
start=$SECONDS
"$place/clean/bin/uv" pip install --quiet --python "$place/clean/bin/python" --constraint "$place/versions.txt" "linesmith[all] @ file://$wheel"
echo "Python $version: installed in $((SECONDS - start)) s, $(du -sm "$place/clean" | cut -f1) MB"

cd "$place"
clean/bin/linesmith --version
"$place/clean/bin/python" - "$checkout" <<'PY'
import json
import re
import sys
from pathlib import Path

checkout = Path(sys.argv[1])
cells = json.loads((checkout / "examples" / "quickstart.ipynb").read_text("utf-8"))["cells"]
code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
Path("quickstart.py").write_text("\n".join(code), "utf-8")
blocks = re.findall(r"```python\n(.*?)```", (checkout / "docs" / "python.md").read_text("utf-8"), re.DOTALL)
Path("page.py").write_text("\n".join(blocks), "utf-8")
PY
for script in quickstart page; do
  start=$SECONDS
  clean/bin/python "$script.py" > "$script.txt" 2>&1 || { tail -n 30 "$script.txt"; exit 1; }
  echo "Python $version: the code of the $script ran in $((SECONDS - start)) s"
done
start=$SECONDS
clean/bin/linesmith demo --output demo-out --seconds "$seconds" > demo.txt 2>&1 || { tail -n 30 demo.txt; exit 1; }
test -s demo-out/report/index.html
echo "Python $version: the demo ran in $((SECONDS - start)) s"
