#!/usr/bin/env bash
# All tests, on up to four cores, each file on one. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec python -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
