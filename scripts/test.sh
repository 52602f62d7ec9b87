#!/usr/bin/env bash
# Runs the linter, the type checker and the tests. CONTRIBUTING.md says when to run which:
#
#     bash scripts/test.sh             while you work
#     bash scripts/test.sh --all       before you push; what continuous integration runs
#     bash scripts/test.sh --nightly   all tests
set -euo pipefail
tier=$*
case "$tier" in
    "" | --all | --nightly) ;;
    *) echo "Error: the only options are --all and --nightly. Received: $tier" >&2; exit 2 ;;
esac
[[ "$tier" == --nightly ]] && with_docs=yes
source "$(dirname "$0")/setup.sh"

tests() {
    "$python" -m pytest -q --numprocesses=auto --dist=worksteal "$@"
}

legacy() {
    echo "Legacy Keras: what depends on it"
    TF_USE_LEGACY_KERAS=1 tests --keras_only "$@"
}

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
echo "Keras 3"
case "$tier" in
    "")
        tests
        legacy tests/properties/test_training.py tests/callbacks/test_rewinding.py tests/keras_compat tests/masking
        ;;
    --all)
        tests --slow
        legacy
        legacy --slow tests/end_to_end/test_smoke.py tests/properties/test_{zeros,trainings}_on_replicas.py
        ;;
    --nightly)
        tests --nightly
        legacy --nightly
        ;;
esac
