#!/usr/bin/env bash
# Install a wheel with all extras in a clean environment and do there what a newcomer does: the code of docs/python.md, and the demo.
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
"$place/clean/bin/python" - "$checkout/docs/python.md" > quickstart.py <<'PY'
import re
import sys

sys.stdout.write("\n".join(re.findall(r"```python\n(.*?)```", open(sys.argv[1], encoding="utf-8").read(), re.DOTALL)))
PY
start=$SECONDS
clean/bin/python quickstart.py
echo "Python $version: the code of docs/python.md ran in $((SECONDS - start)) s"
start=$SECONDS
clean/bin/linesmith demo --output demo-out --seconds "$seconds" > demo.txt 2>&1 || { tail -n 30 demo.txt; exit 1; }
test -s demo-out/report/index.html
echo "Python $version: the demo ran in $((SECONDS - start)) s"
