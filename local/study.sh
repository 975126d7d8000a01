#!/usr/bin/env bash
# Train and score variants x seeds x corpora of a YAML with run.sh, and write one table: local/study.sh --help
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"
set_up recipe
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" -P -m local.study "$@"
