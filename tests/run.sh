#!/usr/bin/env bash
# Sets everything up and runs the tests, two files at a time where there are two cores. Arguments go to pytest:
# `./tests/run.sh -k sampler`; `-n 0` runs all in one process, as --pdb needs it.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"

set_up recipe tests

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
# Small tensors: a second thread only waits for the first
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
side_by_side=()
# Whole files: fixtures are shared within one. In their order: the longest ones do not come last
[[ $(getconf _NPROCESSORS_ONLN) -lt 2 ]] || side_by_side=(-n 2 --dist loadfile --no-loadscope-reorder)
exec "$PYTHON" -m pytest -c "$root/pyproject.toml" ${side_by_side[@]+"${side_by_side[@]}"} "$root/tests" "$@"
