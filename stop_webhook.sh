#!/usr/bin/env bash
# Ends this installation's webhookd and waits until it is gone. One that does not run is no error.
set -euo pipefail

say() { echo "stop_webhook.sh: $*"; }
fail() { say "$@" >&2; exit 1; }

checkout=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
export AMP_CI_HOME=${AMP_CI_HOME:-$checkout}

environment=$AMP_CI_HOME/environment.sh
if [[ -e $environment || -L $environment ]]; then
    problem=$(bash -n -- "$environment" 2>&1) || fail "cannot use the settings: ${problem%%$'\n'*}"
    set +eu -a
    # shellcheck disable=SC1090 # the operator's own file
    . "$environment"
    set -eu +a
fi

pid_file=$AMP_CI_HOME/webhook.pid

# Whether the process is a webhookd and not whatever has the number by now.
is_webhookd() {
    local program
    program=$(readlink "/proc/$1/exe") || return
    [[ ${program% (deleted)} == */webhookd ]]
}

pid=$(cat -- "$pid_file" 2>/dev/null) || { say "not running"; exit 0; }
if ! [[ $pid =~ ^[1-9][0-9]*$ ]] || ! is_webhookd "$pid"; then
    say "not running ($pid_file is stale: it names no webhookd)"
    exit 0
fi

kill -TERM "$pid" || fail "cannot end webhookd (pid $pid)"
SECONDS=0
said=0
while is_webhookd "$pid"; do
    if ((SECONDS >= said + 15)); then
        said=$SECONDS
        say "waiting for webhookd (pid $pid) to finish what it runs; kill -KILL $pid ends it at once"
    fi
    sleep 0.05
done
say "stopped (pid $pid)"
