#!/usr/bin/env bash
# Ends this installation's webhookd and waits until it is gone; --help says the rest.
set -euo pipefail

usage() {
    cat <<'END'
Usage: stop_webhook.sh

Ends the webhookd that start_webhook.sh has started, and the page beside it, and waits until they are gone: commands
that run have ten seconds to end. What does not run is no error.

The home is AMP_CI_HOME, or else the directory of this script; settings are in its environment.sh.
END
}

if (($#)); then
    [[ $1 != @(-h|-help|--help) ]] || { usage; exit 0; }
    usage >&2
    exit 2
fi

checkout=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=home.sh
. "$checkout/home.sh"

# end PROGRAM PID_FILE: ends the process that the file names, and waits until it is gone.
end() {
    local pid program=$1 said=0
    [[ -e $2 ]] || { say "$program: not running"; return; }
    pid=$(runs "$program" "$2") || { say "$program: not running ($2 is stale: it names none)"; return; }
    kill -TERM "$pid" || fail "cannot end $program (pid $pid)"
    SECONDS=0
    while is "$pid" "$program"; do
        if ((SECONDS >= said + 15)); then
            said=$SECONDS
            say "waiting for $program (pid $pid) to finish what it runs; kill -KILL $pid ends it at once"
        fi
        sleep 0.05
    done
    say "$program: stopped (pid $pid)"
}

# Where there never was a page, none is missed. Its pid file is the start's, so it goes here.
if [[ -e $AMP_CI_HOME/statusd.pid ]]; then
    end statusd "$AMP_CI_HOME/statusd.pid"
    rm -f -- "$AMP_CI_HOME/statusd.pid"
fi
end webhookd "$AMP_CI_HOME/webhook.pid"
