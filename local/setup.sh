# shellcheck shell=bash
# Finds or makes the Python environment and installs what is missing. Sourced by run.sh and tests/run.sh:
#     set_up SET...      SET: recipe (requirements.txt) or tests (tests/requirements.txt)
# sets PYTHON to the environment's Python, or prints one line and returns 1. Returns at once if nothing has changed.
# local/setup/*.py decides which packages are installed. -I and -P keep Python from importing, say, a venv.py of the caller.

RECIPE_ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")

set_up() {
    _find_environment || return 1
    _is_whole && _ask check "$@" && return 0
    _alone _install "$@"
}

_say() { printf 'set-up: %s\n' "$*" >&2; }

# Print the version of the Python command $1, such as 3.11.7; print nothing if it does not start
_version() { "$1" -I -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

_is_supported() { case $1 in 3.11.* | 3.12.* | 3.13.*) true ;; *) false ;; esac }

_ask() { PYTHONPATH="$RECIPE_ROOT${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON" -P -m local.setup "$@"; }

# Set ENVIRONMENT and PYTHON to the active virtual or conda environment, else to .venv, which need not exist yet (_is_whole)
_find_environment() {
    local folder version
    for folder in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}" "$RECIPE_ROOT/.venv"; do
        ENVIRONMENT=$folder
        PYTHON=$folder/bin/python
        [[ -n $folder && -x $PYTHON ]] && break
    done
    _is_ours && return 0
    version=$(_version "$PYTHON") || version="no Python that starts"
    _is_supported "$version" && return 0
    _say "the environment $ENVIRONMENT has $version, expected Python 3.11 to 3.13; deactivate it, or use another"
    return 1
}

# Whether the environment is a .venv that set-up has made, or may make; its file `made-here` says `begun`, then `done`.
# A .venv that another tool has made, such as conda, is left alone.
_is_ours() {
    [[ -e $ENVIRONMENT/.recipe_mtlvae/made-here ]] && return 0
    [[ $ENVIRONMENT == "$RECIPE_ROOT/.venv" ]] &&
        [[ -z $(find "$ENVIRONMENT/" -mindepth 1 -maxdepth 1 ! -name .recipe_mtlvae -print -quit 2>/dev/null) ]]
}

_is_whole() {
    ! _is_ours && return 0
    [[ $(cat "$ENVIRONMENT/.recipe_mtlvae/made-here" 2>/dev/null) == "done" ]] && _is_supported "$(_version "$PYTHON")"
}

# Run a function while no other set-up works on this environment
_alone() {
    local lock=$ENVIRONMENT/.recipe_mtlvae/lock
    mkdir -p "${lock%/*}" 2>/dev/null || true # without write access there is no lock; pip reports the reason
    if ! command -v flock >/dev/null || ! { : >>"$lock"; } 2>/dev/null; then
        "$@"
        return
    fi
    (
        flock --nonblock 9 || { _say "another set-up works on $ENVIRONMENT; waiting for it" && flock 9; }
        "$@"
    ) 9>>"$lock"
}

_install() {
    local packages
    _is_whole || _make_environment || return 1
    "$PYTHON" -I -c 'import pip' 2>/dev/null || "$PYTHON" -I -m ensurepip >/dev/null || {
        _say "$ENVIRONMENT has no pip; install it there"
        return 1
    }
    _ask check "$@" && return 0 # another set-up may have installed everything meanwhile
    read -ra packages <<<"$(_ask lacks "$@")"
    # If this fails, the packages that need them are left out, with a message
    [[ ${#packages[@]} -eq 0 ]] || _apt_install "${packages[@]}" || true
    _ask install "$@"
}

_make_environment() {
    local base version
    base=$(_find_python) || return 1
    version=$(_version "$base")
    if ! "$base" -I -c 'import ensurepip, venv' 2>/dev/null && ! _apt_install "python${version%.*}-venv"; then
        _say "$base cannot make environments: install the package python${version%.*}-venv, or activate an environment"
        return 1
    fi
    _say "making $ENVIRONMENT with Python $version"
    # Remove what an interrupted run left, except the folder that holds the lock
    find "$ENVIRONMENT" -mindepth 1 -maxdepth 1 ! -name .recipe_mtlvae -exec rm -rf {} +
    rm -f "$ENVIRONMENT"/.recipe_mtlvae/*.stamp
    echo begun >"$ENVIRONMENT/.recipe_mtlvae/made-here" &&
        "$base" -I -m venv "$ENVIRONMENT" &&
        echo "done" >"$ENVIRONMENT/.recipe_mtlvae/made-here" && return 0
    _say "$ENVIRONMENT could not be made (see above)"
    return 1
}

# Find a supported Python; the tested version is tried first
_find_python() {
    local name version found=()
    for name in python3.11 python3 python3.12 python3.13; do
        version=$(_version "$name") || continue
        _is_supported "$version" && command -v "$name" && return 0
        found+=("$name is $version")
    done
    _say "expected Python 3.11, 3.12 or 3.13, found ${found[*]:-no python3}; install one of them"
    return 1
}

# Install packages on Debian and its derivatives, as root or with sudo if it asks for no password
_apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) -ne 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    _say "installing with apt: $*"
    # Close the lock (descriptor 9) for services that apt may start. First finish an interrupted installation
    {
        ${as_root[@]+"${as_root[@]}"} dpkg --configure -a
        ${as_root[@]+"${as_root[@]}"} apt-get update -qq
        ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            -o DPkg::Lock::Timeout=120 "$@"
    } >/dev/null 9>&-
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set_up recipe
fi
