#!/usr/bin/env bash
# The report's Figures 2 and 3 as one command: trains its six systems and writes one table beside the report's figures.
#     local/ablation.sh [--seeds N] [--tag PREFIX] [--exp_dir DIR] [options of run.sh: --data, --soundbank, --data_root, --set]
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=local/run_child.sh
source "$root/local/run_child.sh"
seeds=1
prefix=ablation
exp_dir=$root/exp
options=()
while (($#)); do
    case $1 in
        --*=*)
            set -- "${1%%=*}" "${1#*=}" "${@:2}"
            continue
            ;;
        --seeds | --tag | --exp_dir)
            (($# > 1)) || { echo "ablation: $1 wants a value" >&2 && exit 2; }
            case $1 in --seeds) seeds=$2 ;; --tag) prefix=$2 ;; *) exp_dir=$2 ;; esac
            shift 2
            ;;
        -h | --help) sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" && exit 0 ;;
        --stage | --stop_stage | --conf) echo "ablation: $1 is set by the ablation itself" >&2 && exit 2 ;;
        *) options+=("$1") && shift ;;
    esac
done
[[ $seeds =~ ^[1-9][0-9]*$ ]] || { echo "ablation: --seeds wants a number of at least 1, got '$seeds'" >&2 && exit 2; }

for ((seed = 1; seed <= seeds; seed++)); do
    for conf in "$root"/conf/ablation/*.yaml; do
        system=$(basename "$conf" .yaml)
        echo "== ablation: $system, seed $seed of $seeds"
        run_child "$root/run.sh" --stop_stage 3 --conf "$conf" --exp_dir "$exp_dir" --tag "$prefix-$system-$seed" --set "seed=$seed" \
            ${options[@]+"${options[@]}"}
    done
done
# shellcheck source=local/setup.sh
source "$root/local/setup.sh"
set_up recipe
PYTHONPATH="$root" exec "$PYTHON" -P -m local.ablation_table "$exp_dir" "$prefix"
