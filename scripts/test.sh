#!/usr/bin/env bash
# Runs the linter and all tests, on Keras 3 and on legacy Keras; with --all the slow ones too.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

options=(-q --numprocesses=auto --dist=worksteal)
[[ "${1:-}" == --all ]] && options+=(--slow)

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
echo "Keras 3"
"$python" -m pytest "${options[@]}"
echo "Legacy Keras: what depends on it"
TF_USE_LEGACY_KERAS=1 "$python" -m pytest "${options[@]}" --keras_only
