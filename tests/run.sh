#!/usr/bin/env bash
# Sets everything up and runs the tests; arguments go to pytest: `./tests/run.sh -k sampler`.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"

set_up recipe tests

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
# Small tensors: a second thread only waits for the first
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$PYTHON" -m pytest -c "$root/pyproject.toml" "$root/tests" "$@"
