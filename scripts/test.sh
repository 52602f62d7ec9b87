#!/usr/bin/env bash
# Runs the linter and all tests, on Keras 3 and on legacy Keras; with --all the slow ones too.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

slow=()
[[ "${1:-}" == --all ]] && slow=(--slow)

"$python" -m ruff check .
"$python" -m ruff format --check .
echo "Keras 3"
"$python" -m pytest -q "${slow[@]}"
echo "Legacy Keras: what depends on it"
TF_USE_LEGACY_KERAS=1 "$python" -m pytest -q "${slow[@]}" --keras_only
