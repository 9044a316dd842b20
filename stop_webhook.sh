#!/usr/bin/env bash
# Ends this installation's webhookd and waits until it is gone; --help says the rest.
set -euo pipefail

usage() {
    cat <<'END'
Usage: stop_webhook.sh

Ends the webhookd that start_webhook.sh has started and waits until it is gone: commands that run have ten seconds to
end. One that does not run is no error.

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

pid_file=$AMP_CI_HOME/webhook.pid
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
