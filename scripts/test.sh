#!/usr/bin/env bash
# Runs the linter, the type checker and the tests, first on Keras 3, then on legacy Keras. The first failure ends it.
# CONTRIBUTING.md says when to run which:
#
#     bash scripts/test.sh             while you work
#     bash scripts/test.sh --all       before you push; what continuous integration runs
#     bash scripts/test.sh --nightly   all tests
set -euo pipefail
tier=$*
case "$tier" in
    "" | --all | --nightly) ;;
    --help | -h) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;;
    *) echo "Error: the only options are --all and --nightly. Received: $tier" >&2; exit 2 ;;
esac
[[ "$tier" == --nightly ]] && with_docs=yes
source "$(dirname "$0")/setup.sh"

tests() {
    "$python" -m pytest -q --numprocesses=auto --dist=worksteal "$@"
}

legacy() {
    echo "Legacy Keras: tests that depend on Keras"
    TF_USE_LEGACY_KERAS=1 tests --needs-keras "$@"
}

legacy_while_working=(
    tests/keras_compat
    tests/masking
    tests/callbacks/test_rewinding.py
    tests/properties/test_training.py
)
legacy_slow=(
    tests/end_to_end/test_smoke.py
    tests/properties/test_trainings_on_replicas.py
    tests/properties/test_zeros_on_replicas.py
)

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
echo "Keras 3"
case "$tier" in
    "")
        tests
        legacy "${legacy_while_working[@]}"
        ;;
    --all)
        tests --slow
        legacy
        legacy --slow "${legacy_slow[@]}"
        ;;
    --nightly)
        tests --nightly
        legacy --nightly
        ;;
esac
