#!/usr/bin/env bash
# Starts webhookd for this installation and waits until it serves; --help says the rest.
set -euo pipefail

usage() {
    cat <<'END'
Usage: start_webhook.sh [--foreground] [webhookd's own arguments]

Starts webhookd in the background on 0.0.0.0:8196 with the hooks of hooks.json, compiles it first if need be,
waits until it serves, and says where. If it runs already, says so. If AMP_CI_PAGE is set, to 127.0.0.1:8197 for
instance, starts statusd there as well: the page that shows what CI does. stop_webhook.sh ends both.

  --foreground   become webhookd instead of starting it (for systemd and the like); no page
  -hooks FILE    other hooks than hooks.json, for instance -hooks webhook.yaml
  -ip, -port     another address, for instance -ip 127.0.0.1 behind a reverse proxy
                 (everything that `webhookd --help` lists is passed on; relative paths start at the home)

The home is AMP_CI_HOME, or else the directory of this script; settings are in its environment.sh.
END
}

for word in "$@"; do
    [[ $word != @(-h|-help|--help) ]] || { usage; exit 0; }
done

checkout=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=home.sh
. "$checkout/home.sh"
# shellcheck source=page.sh
. "$checkout/page.sh"

foreground=no looks_first=yes hooks=(-hooks hooks.json) log=webhook.log pid_file=webhook.pid
arguments=()
while (($#)); do
    case $1 in
    --foreground) foreground=yes; shift; continue ;;
    -hooks | --hooks | -hooks=* | --hooks=*) hooks=() ;;
    # Who says so wants it started whatever is in the hooks file.
    -nopanic | --nopanic) looks_first=no ;;
    -logfile | --logfile) log=${2-} ;;
    -logfile=* | --logfile=*) log=${1#*=} ;;
    -pidfile | --pidfile) pid_file=${2-} ;;
    -pidfile=* | --pidfile=*) pid_file=${1#*=} ;;
    esac
    arguments+=("$1")
    shift
done
log=${log:-webhook.log}

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

# Two starts at once: the second waits here until the first has its daemon. A file that only its owner can open is the
# lock: one that others can read they can lock as well.
(umask 077 && may_append webhook.lock && chmod 600 webhook.lock) || fail "cannot write $PWD/webhook.lock"
exec {lock}>>webhook.lock
if ! flock --nonblock "$lock"; then
    say "waiting for another start_webhook.sh, which holds $PWD/webhook.lock"
    flock --timeout 90 "$lock" || fail "another process has held $PWD/webhook.lock for 90 s"
fi

if pid=$(runs webhookd "$pid_file"); then
    say "already running (pid $pid)"
    [[ $foreground == yes ]] || start_page
    exit 0
fi
rm -f -- "$pid_file"

# Hooks name queue_build without a path.
export PATH=$program_dir:$PATH
webhookd=$program_dir/webhookd
arguments=(-ip 0.0.0.0 -port 8196 -urlprefix webhook -template "${hooks[@]}" -logfile "$log"
    -pidfile "$pid_file" "${arguments[@]}")

if [[ $looks_first == yes ]] && ! found=$("$webhookd" -check "${arguments[@]}" 2>&1); then
    fail "webhookd is not started, because of its hooks file:"$'\n'"$found"
fi

if [[ $foreground == yes ]]; then
    exec {lock}>&-
    exec "$webhookd" "${arguments[@]}"
fi

(umask 027 && may_append "$log") || fail "cannot write $log"
before=$(stat -c %s -- "$log")

# What bash starts with `&` ignores INT and QUIT, and so would all commands of hooks; so does what nohup(1) or another
# script in the background started, and bash cannot take that back (bash(1), SIGNALS), but env(1) can.
(exec env --default-signal=INT,QUIT setsid "$webhookd" "${arguments[@]}" {lock}>&- </dev/null >>"$log" 2>&1) &
pid=$!
SECONDS=0
until serving=$(news "$log" "$before" | grep -a -m 1 -o 'serving hooks on .*'); do
    if ! kill -0 "$pid" 2>/dev/null; then
        wait "$pid" && status=0 || status=$?
        news "$log" "$before" | head -n 40 >&2
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
start_page
