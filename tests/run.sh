#!/usr/bin/env bash
# Sets everything up and runs the tests, two files at a time on two or more cores. Arguments are passed to pytest:
# `./tests/run.sh -k batches`; `-n 0` runs everything in one process, which --pdb needs.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"

set_up recipe tests

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
# The tensors are small: a second thread would only wait for the first
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
side_by_side=()
# Distribute whole files, which share fixtures, and keep their order, so that the longest files do not come last
[[ $(getconf _NPROCESSORS_ONLN) -lt 2 ]] || side_by_side=(-n 2 --dist loadfile --no-loadscope-reorder)
exec "$PYTHON" -m pytest -c "$root/pyproject.toml" ${side_by_side[@]+"${side_by_side[@]}"} "$root/tests" "$@"
