#!/usr/bin/env bash
# Makes the environment in .venv when there is none or when the requirements changed. Sourced by run.sh and test.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
stamp=.venv/.requirements
if ! cat pyproject.toml constraints.txt | cmp -s - "$stamp"; then
  python=""
  for name in python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$name; break; fi
  done
  [ -n "$python" ] || { echo "Bench3R needs Python 3.11 or newer; none was found on PATH." >&2; exit 2; }
  echo "Setting up .venv (some minutes, about 1.5 GB) ..."
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test]"
  cat pyproject.toml constraints.txt > "$stamp"
fi
export PATH="$PWD/.venv/bin:$PATH"
