#!/usr/bin/env bash
# Starts webhookd for this installation and waits until it serves; --help says the rest.
set -euo pipefail

say() { echo "start_webhook.sh: $*"; }
fail() { say "$@" >&2; exit 1; }

usage() {
    cat <<'END'
Usage: start_webhook.sh [--foreground] [webhookd's own arguments]

Starts webhookd in the background on 0.0.0.0:8196 with the hooks of hooks.json, compiles it first if need be,
waits until it serves, and says where. If it runs already, says so. stop_webhook.sh ends it.

  --foreground   become webhookd instead of starting it (for systemd and the like)
  -hooks FILE    other hooks than hooks.json, for instance -hooks webhook.yaml
  -ip, -port     another address, for instance -ip 127.0.0.1 behind a reverse proxy
                 (everything that `webhookd --help` lists is passed on; relative paths start at the home)

The home is AMP_CI_HOME, or else the directory of this script; settings are in its environment.sh.
END
}

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

foreground=no hooks=(-hooks hooks.json) log=webhook.log pid_file=webhook.pid
arguments=()
while (($#)); do
    case $1 in
    -h | -help | --help) usage; exit 0 ;;
    --foreground) foreground=yes; shift; continue ;;
    -hooks | --hooks | -hooks=* | --hooks=*) hooks=() ;;
    -logfile | --logfile) log=${2-} ;;
    -logfile=* | --logfile=*) log=${1#*=} ;;
    -pidfile | --pidfile) pid_file=${2-} ;;
    -pidfile=* | --pidfile=*) pid_file=${1#*=} ;;
    esac
    arguments+=("$1")
    shift
done

cd -- "$AMP_CI_HOME" || fail "there is no home to start in: $AMP_CI_HOME"
AMP_CI_HOME=$PWD
# For hooks files that name their command by it.
export SCRIPT_DIR=$PWD

case ${SECRET-} in
'') fail "SECRET is empty: set what GitHub signs with in $environment (environment.sh-sample shows how)" ;;
'Your secret') fail "SECRET is still the sample's: set one of your own in $environment (head -c 32 /dev/urandom | base64)" ;;
esac

# The first directory that holds both programs which the daemon needs; compiled now if there is none.
find_programs() {
    for program_dir in "$checkout/bin" "$checkout/target/release"; do
        [[ -x $program_dir/webhookd && -x $program_dir/queue_build ]] && return
    done
    return 1
}
if ! find_programs; then
    command -v cargo >/dev/null ||
        fail "webhookd is not compiled, and there is no cargo: install Rust 1.89 or later (https://rustup.rs), then: cd $checkout && cargo build --release --locked"
    say "compiling, once ..."
    (cd -- "$checkout" && cargo build --release --locked --target-dir target) || fail "could not compile (see above)"
    find_programs || fail "cargo left no webhookd in $checkout/target/release"
fi

# Two starts at once: the second waits here until the first has its daemon.
log=${log:-webhook.log}
exec {lock}>>"$log"
flock "$lock"

# The process that the pid file names, if that is a webhookd and not whatever has its number by now.
running() {
    pid=$(cat -- "$pid_file" 2>/dev/null) && [[ $pid =~ ^[1-9][0-9]*$ ]] || return
    local program
    program=$(readlink "/proc/$pid/exe") || return
    [[ ${program% (deleted)} == */webhookd ]]
}
if running; then
    say "already running (pid $pid)"
    exit 0
fi
rm -f -- "$pid_file"

# Hooks name queue_build without a path.
export PATH=$program_dir:$PATH
daemon=("$program_dir/webhookd" -ip 0.0.0.0 -port 8196 -urlprefix webhook -template "${hooks[@]}"
    -logfile "$log" -pidfile "$pid_file" "${arguments[@]}")

if [[ $foreground == yes ]]; then
    exec {lock}>&-
    exec "${daemon[@]}"
fi

before=$(stat -c %s -- "$log")
# What this start has written to the log so far.
news() { tail -c "+$((before + 1))" -- "$log"; }

setsid "${daemon[@]}" {lock}>&- </dev/null >>"$log" 2>&1 &
pid=$!
SECONDS=0
until serving=$(news | grep -a -m 1 -o 'serving hooks on .*'); do
    if ! kill -0 "$pid" 2>/dev/null; then
        wait "$pid" && status=0 || status=$?
        news | head -n 40 >&2
        fail "webhookd ended (exit code $status) instead of serving; what it said, also in $log, is above"
    fi
    if ((SECONDS >= 60)); then
        kill "$pid"
        fail "webhookd has not said within 60 s that it serves, and is ended again; see $log"
    fi
    sleep 0.05
done
((${#hooks[@]})) && serving=${serving/'{id}'/amp_main}
say "webhookd is ${serving} (pid $pid)"
say "log: $(realpath -- "$log")"
