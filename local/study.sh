#!/usr/bin/env bash
# Variants x seeds x corpora of a YAML, trained and scored by run.sh, in one table: local/study.sh --help
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"
set_up recipe
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" -P -m local.study "$@"
