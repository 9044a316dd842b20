# shellcheck shell=bash
# What build, start_webhook.sh and stop_webhook.sh begin with, which source this file: the home, that only its owner
# acts in it, and its settings. They set $checkout before.

export AMP_CI_HOME=${AMP_CI_HOME:-$checkout}
environment=$AMP_CI_HOME/environment.sh

say() { echo "${0##*/}: $*"; }
fail() { say "$@" >&2; exit 1; }

# The name of an account for people and for sudo.
account() { id -un -- "$1" 2>/dev/null || echo "#$1"; }

# is PID PROGRAM: whether a process is that program, and not whatever has its number by now.
is() {
    local program
    program=$(readlink "/proc/$1/exe") || return
    [[ ${program% (deleted)} == */"$2" ]]
}

# runs PROGRAM FILE: the number in a pid file, if a process of that program has it.
runs() {
    local pid
    [[ -f $2 ]] && pid=$(cat -- "$2" 2>/dev/null) && [[ $pid =~ ^[1-9][0-9]*$ ]] && is "$pid" "$1" && echo "$pid"
}

# may_append FILE: whether lines can go to its end; nobody waits for the reader of a FIFO.
may_append() { [[ -f $1 || ! -e $1 ]] && : >>"$1"; }

# news LOG BEFORE: what a log has beyond its first so many bytes.
news() { tail -c "+$(($2 + 1))" -- "$1"; }

# Builds run as the home's owner and can write its settings, which are code: nobody else may run them, root least of
# all. Who owns queue/ is the owner. Without a home there is nobody to ask, and the programs say what is missing.
owner=$(stat -L -c %u -- "$AMP_CI_HOME/queue" "$AMP_CI_HOME" 2>/dev/null | head -n 1) || true
if [[ -n $owner && $owner != "$EUID" ]]; then
    owner=$(account "$owner")
    as_owner=(sudo -u "$owner")
    [[ $AMP_CI_HOME == "$checkout" ]] || as_owner+=("AMP_CI_HOME=$(realpath -- "$AMP_CI_HOME")")
    as_owner+=("$(realpath -- "$0")" "$@")
    fail "the home $AMP_CI_HOME belongs to $owner; act as that account:$(printf ' %q' "${as_owner[@]}")"
fi

# The settings cannot be used. `build` has a way of its own to say so.
declare -F unusable >/dev/null || unusable() { fail "$1"; }

if [[ -e $environment || -L $environment ]]; then
    { [[ -f $environment ]] && read -r owner mode < <(stat -L -c '%u %a' -- "$environment"); } ||
        unusable "cannot use the settings: $environment is not a file"
    [[ $owner == 0 || $owner == "$EUID" ]] ||
        unusable "will not use the settings: $environment belongs to $(account "$owner"), and must be your own or root's"
    (((8#$mode & 8#022) == 0)) ||
        unusable "will not use the settings: others than its owner can write $environment (mode $mode): chmod go-w $environment"
    problem=$(bash -n -- "$environment" 2>&1) || unusable "cannot use the settings: ${problem%%$'\n'*}"
    trap 'unusable "cannot use the settings: $environment ends the shell that reads it (exit)"' EXIT
    set +eu -a
    # shellcheck disable=SC1090 # the operator's own file
    . "$environment"
    set -eu +a
    trap - EXIT
fi
