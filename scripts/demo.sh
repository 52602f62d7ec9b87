#!/usr/bin/env bash
# Finds winning tickets in LeNet-300-100 on handwritten digits. Run again, it goes on or rebuilds the report.
# Arguments are passed on: bash scripts/demo.sh --config.replicates=5
set -euo pipefail
source "$(dirname "$0")/setup.sh"
exec "$python" scripts/find_tickets.py --config=configs/digits_lenet.py --run_dir=runs/digits_lenet "$@"
