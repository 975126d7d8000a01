# shellcheck shell=bash
# Runs a command so that signals reach it. Sourced by run.sh:
#     run_child COMMAND...      waits until it ends and returns its exit code
# bash handles a signal only after a foreground command has ended. Here the command runs in the background, and SIGINT,
# SIGTERM and SIGHUP are passed on to it as SIGTERM.

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
    [[ $SIGNALS == 0 ]] || kill -TERM "$CHILD" 2>/dev/null || true # a signal that came before CHILD was set
    while before=$SIGNALS code=0; do
        wait "$CHILD" || code=$?
        [[ $SIGNALS != "$before" ]] || break
    done
    CHILD=''
    if [[ $SIGNALS != 0 && ($code == 0 || $code -gt 128) ]]; then # otherwise the command has reported it
        echo "error: interrupted; run the same command again to continue" >&2
        code=1
    fi
    return "$code"
}
