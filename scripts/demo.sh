#!/usr/bin/env bash
# Finds winning tickets in LeNet-300-100 on handwritten digits. If run again, it resumes, or rebuilds the report.
# Arguments are passed to find_tickets.py: bash scripts/demo.sh --config.replicates=5
set -euo pipefail
source "$(dirname "$0")/setup.sh"
exec "$python" scripts/find_tickets.py --config=configs/digits_lenet.py --run_dir=runs/digits_lenet "$@"
