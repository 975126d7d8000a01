#!/usr/bin/env bash
# From a bare machine to scores and a submission package: `./run.sh`. Options: `./run.sh --help`.
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=local/parse_options.sh
source "$root/local/parse_options.sh"
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"

stages=(prepare train predict score compare submit)

parse_options "$@"
set_up recipe

# Paths given by the user are relative to the caller's folder, so this never leaves it; nor is Python to import from there
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
# Two OpenMP threads that spin while they wait stop each other beside any other busy process: 1 clip/s instead of 40
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

for ((stage = STAGE; stage <= STOP_STAGE; stage++)); do
    echo "== stage $stage: ${stages[stage]}"
    begin=$SECONDS
    "$PYTHON" -m "local.${stages[stage]}" ${STAGE_OPTIONS[@]+"${STAGE_OPTIONS[@]}"} || {
        code=$?
        echo "== stage $stage: ${stages[stage]} failed after $((SECONDS - begin)) s"
        exit "$code"
    }
    echo "== stage $stage: ${stages[stage]} done in $((SECONDS - begin)) s"
done
