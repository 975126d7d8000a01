#!/usr/bin/env bash
# From a bare machine to scores and a submission package: `./run.sh`. Options: `./run.sh --help`.
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=local/parse_options.sh
source "$root/local/parse_options.sh"
# shellcheck source=local/run_child.sh
source "$root/local/run_child.sh"
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"

stages=(prepare train predict score compare submit)

parse_options "$@"
set_up recipe

# Paths given by the user are relative to the caller's folder, so this never leaves it; nor is Python to import from there
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
# Two OpenMP threads that spin while they wait stop each other beside any other busy process: 1 clip/s instead of 40
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
# A training step frees and takes the same large blocks again and again; glibc hands those back to the system each time
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-33554432}" MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-4294967296}"

run_stage() {
    run_child "$PYTHON" -m "local.${stages[$1]}" ${STAGE_OPTIONS[@]+"${STAGE_OPTIONS[@]}"} "${@:2}"
}

for ((stage = STAGE; stage <= STOP_STAGE; stage++)); do
    echo "== stage $stage: ${stages[stage]}"
    begin=$SECONDS
    code=0
    run_stage "$stage" || code=$?
    # The baselines' training, scores and metrics, under tags of their own
    if [[ $code == 0 && $BASELINE != none && $stage -ge 1 && $stage -le 3 ]]; then
        echo "== stage $stage: ${stages[stage]}, the baseline"
        run_stage "$stage" "--as_baseline=$BASELINE" || code=$?
    fi
    if [[ $code == 0 && -n $BASELINE_CHECKPOINT && $stage -ge 2 && $stage -le 3 ]]; then
        echo "== stage $stage: ${stages[stage]}, the official checkpoint"
        run_stage "$stage" "--as_official=$BASELINE_CHECKPOINT" || code=$?
    fi
    if [[ $code != 0 ]]; then
        ended=failed
        [[ $SIGNALS == 0 ]] || ended=interrupted
        echo "== stage $stage: ${stages[stage]} $ended after $((SECONDS - begin)) s"
        exit "$code"
    fi
    echo "== stage $stage: ${stages[stage]} done in $((SECONDS - begin)) s"
done
