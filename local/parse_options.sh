# shellcheck shell=bash
# Parses the options of run.sh, which sources this file and calls
#     parse_options "$@"
# Sets STAGE, STOP_STAGE, BASELINE, BASELINE_CHECKPOINT and the array STAGE_OPTIONS, which run.sh passes to every stage. Exits
# before any set-up on --help (code 0) and on wrong usage (code 2).

LAST_STAGE=5

_usage() {
    cat <<'TEXT'
usage: ./run.sh [options]         from any folder; results are written to exp/<tag>/, finished work is not repeated

stages: 0 prepare   data and features       3 score    PSDS, F1 -> metrics.json
        1 train     the system              4 compare  report.html
        2 predict   score folders, energy   5 submit   challenge package

  --stage N             first stage (0)
  --stop_stage N        last stage (5)
  --conf FILE           configuration, a YAML that changes values of conf/base.yaml (conf/mtlvae.yaml)
  --data NAME           mini: made here; desed: what --data_root lacks is downloaded to it; or a YAML file (mini)
  --data_root DIR       folder of the corpus, in DESED's layout
  --soundbank DIR       recordings to make the mini corpus from
  --tag NAME            name of the run (<conf>-<data>)
  --exp_dir DIR         folder of the runs (exp/ beside run.sh)
  --baseline MODE       train the baseline's mean-teacher CRNN beside the system: equal_epochs (as many epochs) or converged
                        (until its selection score levels off, 200 epochs at most); or none (none). Slow on a CPU
  --baseline_checkpoint FILE
                        also score the toolkit's official checkpoint, student and teacher
  --submission NAME     challenge year of the package: dcase2022, dcase2023, dcase2024 or a YAML file (dcase2022)
  --run TAG             another run for the package, of the same system with another seed; may be repeated
  --set KEY=VALUE       one value of the configuration, such as train.max_epochs=20; may be repeated
  --help
TEXT
}

_wrong_usage() {
    printf 'run.sh: %s; see ./run.sh --help\n' "$1" >&2
    exit 2
}

parse_options() {
    local name value
    STAGE=0 STOP_STAGE=$LAST_STAGE BASELINE=none BASELINE_CHECKPOINT='' STAGE_OPTIONS=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help)
                _usage
                exit 0
                ;;
            --*=*)
                name=${1%%=*} value=${1#*=}
                shift
                set -- "$name" "$value" "$@"
                continue
                ;;
        esac
        name=$1
        [[ $(_usage) == *$'\n'"  $name "[A-Z]* ]] || _wrong_usage "unknown option $name"
        [[ $# -ge 2 && -n $2 ]] || _wrong_usage "$name needs a value"
        value=$2
        shift 2
        case $name in
            --stage) STAGE=$(_stage_number "$name" "$value") || exit 2 ;;
            --stop_stage) STOP_STAGE=$(_stage_number "$name" "$value") || exit 2 ;;
            --baseline)
                case $value in none | equal_epochs | converged) ;; *)
                    _wrong_usage "--baseline $value: expected none, equal_epochs or converged"
                    ;;
                esac
                # shellcheck disable=SC2034  # run.sh reads it
                BASELINE=$value
                ;;
            --baseline_checkpoint)
                [[ -f $value && -r $value ]] || _wrong_usage "--baseline_checkpoint $value: expected a file that can be read"
                # shellcheck disable=SC2034  # run.sh reads it
                BASELINE_CHECKPOINT=$value
                ;;
            *) STAGE_OPTIONS+=("$name=$value") ;; # as one word, because a value may begin with a dash
        esac
    done
    [[ $STAGE -le $STOP_STAGE ]] || _wrong_usage "--stage $STAGE comes after --stop_stage $STOP_STAGE"
}

_stage_number() {
    [[ $2 == [0-$LAST_STAGE] ]] || _wrong_usage "$1 $2: expected a number from 0 to $LAST_STAGE"
    echo "$2"
}
