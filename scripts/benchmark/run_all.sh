#!/usr/bin/env bash
# Measures everything that docs/benchmarks.md says and writes it anew: about 25 minutes on an otherwise idle machine.
# Needs Fashion-MNIST: python scripts/prepare_data.py fashion_mnist
set -euo pipefail
source "$(dirname "$0")/../setup.sh"

"$python" -m pip install --quiet --disable-pip-version-check --no-deps lottery-ticket-pruner==0.8.1

measure() { # name, script and flags
    echo "$1 ..."
    "$python" "scripts/benchmark/$2" --csv="docs/benchmarks/$1.csv" "${@:3}"
}
mkdir -p docs/benchmarks
"$python" scripts/benchmark/measuring.py > docs/benchmarks/machine.txt
measure masked_fit masked_fit.py --keras=3
measure masked_fit_legacy masked_fit.py --keras=legacy
measure masked_inference masked_inference.py
measure startup startup.py
measure level_turnover level_turnover.py
measure stored_states stored_states.py
measure whole_experiment whole_experiment.py
measure growth growth.py
measure execution_settings execution_settings.py
measure dead_units dead_units.py
"$python" scripts/benchmark/page.py
