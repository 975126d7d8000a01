#!/usr/bin/env bash
# Run the recipe, from a bare machine to scores and a submission package: `./run.sh`. Options: `./run.sh --help`.
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

# Paths given by the user are relative to the caller's folder, so run.sh stays in it; Python must not import from there
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
# Beside any other busy process, two OpenMP threads that spin while they wait block each other: 1 clip/s instead of 40
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
# A training step frees and allocates the same large blocks repeatedly; by default glibc returns them to the system each time
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-33554432}" MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-4294967296}"

# With several tasks of one srun, stages 0 and 2 are divided into shares; the first task runs the others while the rest wait
task=${SLURM_PROCID:-0} tasks=${SLURM_STEP_NUM_TASKS:-1}
meeting="$root/exp/.srun-${SLURM_JOB_ID:-0}-${SLURM_STEP_ID:-0}-${SLURM_RESTART_COUNT:-0}"

meet() {
    [[ $tasks -gt 1 ]] || return 0
    mkdir -p "$meeting"
    touch "$meeting/$1-$task"
    until [[ ! -d $meeting || $(find "$meeting" -name "$1-*" | wc -l) -ge $tasks ]]; do
        [[ ! -e $meeting/failed && $SIGNALS == 0 ]] || exit 1
        sleep 1
    done
}

run_stage() {
    if [[ $tasks -gt 1 && $1 != [02] ]]; then
        [[ $task == 0 ]] || return 0
        # Unset, because Lightning would wait for the other tasks
        run_child env -u SLURM_NTASKS -u SLURM_STEP_NUM_TASKS "$PYTHON" -m "local.${stages[$1]}" ${STAGE_OPTIONS[@]+"${STAGE_OPTIONS[@]}"} "${@:2}"
        return
    fi
    run_child "$PYTHON" -m "local.${stages[$1]}" ${STAGE_OPTIONS[@]+"${STAGE_OPTIONS[@]}"} "${@:2}"
}

for ((stage = STAGE; stage <= STOP_STAGE; stage++)); do
    meet "$stage"
    echo "== stage $stage: ${stages[stage]}"
    begin=$SECONDS
    code=0
    run_stage "$stage" || code=$?
    # Training, scores and metrics of the baselines, under tags of their own
    if [[ $code == 0 && $BASELINE != none && $stage -ge 1 && $stage -le 3 ]]; then
        echo "== stage $stage: ${stages[stage]}, the baseline"
        run_stage "$stage" "--as_baseline=$BASELINE" || code=$?
    fi
    if [[ $code == 0 && -n $BASELINE_CHECKPOINT && $stage -ge 2 && $stage -le 3 ]]; then
        echo "== stage $stage: ${stages[stage]}, the official checkpoint"
        run_stage "$stage" "--as_official=$BASELINE_CHECKPOINT" || code=$?
    fi
    if [[ $code != 0 ]]; then
        [[ $tasks -le 1 ]] || touch "$meeting/failed"
        ended=failed
        [[ $SIGNALS == 0 ]] || ended=interrupted
        echo "== stage $stage: ${stages[stage]} $ended after $((SECONDS - begin)) s"
        exit "$code"
    fi
    echo "== stage $stage: ${stages[stage]} done in $((SECONDS - begin)) s"
done
meet end
[[ $task != 0 || $tasks -le 1 ]] || rm -r "$meeting"
