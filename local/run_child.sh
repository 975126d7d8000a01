# shellcheck shell=bash
# Runs a command so that signals reach it. Sourced by run.sh:
#     run_child COMMAND...      waits for its end and returns its exit code
# bash itself notices a signal only when the command has ended. Here SIGINT, SIGTERM and SIGHUP are handed on as SIGTERM.

SIGNALS=0 CHILD=''
trap '_hand_on' INT TERM HUP

_hand_on() {
    SIGNALS=$((SIGNALS + 1))
    [[ -z $CHILD ]] || kill -TERM "$CHILD" 2>/dev/null || true
}

run_child() {
    local code before
    "$@" &
    CHILD=$!
    [[ $SIGNALS == 0 ]] || kill -TERM "$CHILD" 2>/dev/null || true # one that came before CHILD was known
    while before=$SIGNALS code=0; do
        wait "$CHILD" || code=$?
        [[ $SIGNALS != "$before" ]] || break
    done
    CHILD=''
    if [[ $SIGNALS != 0 && ($code == 0 || $code -gt 128) ]]; then # else the command has said it
        echo "error: interrupted; run the same command again to go on" >&2
        code=1
    fi
    return "$code"
}
