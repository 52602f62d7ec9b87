#!/usr/bin/env bash
# Runs the linter, the type checker and tests; CONTRIBUTING.md says which of these to run when:
#
#     bash scripts/test.sh             what a contributor runs while working
#     bash scripts/test.sh --all       what continuous integration runs before a change lands
#     bash scripts/test.sh --nightly   all tests there are
set -euo pipefail
tier=${1:-}
case "$tier" in
    "" | --all | --nightly) ;;
    *) echo "Error: the option must be --all or --nightly. Received: $tier" >&2; exit 2 ;;
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
        legacy tests/laws/test_training_laws.py tests/callbacks/test_rewinding.py tests/test_{keras_api,layers,masking,model_masks,saving,state,tfmot_bridge}.py
        ;;
    --all)
        tests --slow
        legacy
        legacy --slow tests/end_to_end/test_smoke.py
        ;;
    --nightly)
        tests --nightly
        legacy --nightly
        ;;
esac
