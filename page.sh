# shellcheck shell=bash
# shellcheck disable=SC2154 # $environment, $checkout, $program_dir and $lock are set there
# The page beside webhookd: start_webhook.sh sources this file after home.sh.

# Starts statusd on AMP_CI_PAGE if it is set and statusd does not run yet. Says what came of it: whatever is wrong with
# the page, webhookd serves.
start_page() {
    local pid listen=${AMP_CI_PAGE-} statusd=$program_dir/statusd before serving
    local log=$AMP_CI_HOME/statusd.log pid_file=$AMP_CI_HOME/statusd.pid
    if [[ -z $listen ]]; then
        say "no page: AMP_CI_PAGE='127.0.0.1:8197' in $environment shows in a browser what CI does"
        return
    fi
    if pid=$(runs statusd "$pid_file"); then
        say "the page is there already (pid $pid)"
        return
    fi
    if [[ ! -x $statusd ]]; then
        say "no page: there is no $statusd; cd $checkout && cargo build --release --locked" >&2
        return
    fi
    if ! (umask 027 && may_append "$log"); then
        say "no page: cannot write $log" >&2
        return
    fi
    before=$(stat -c %s -- "$log")
    # It shows the home to everybody who reaches it, so it knows no secret, and nothing else either.
    (exec env -i --default-signal=INT,QUIT PATH="$PATH" ${LANG:+"LANG=$LANG"} ${TZ:+"TZ=$TZ"} \
        AMP_CI_HOME="$AMP_CI_HOME" ${AMP_CI_PAGE_URL:+"AMP_CI_PAGE_URL=$AMP_CI_PAGE_URL"} \
        setsid "$statusd" --listen "$listen" {lock}>&- </dev/null >>"$log" 2>&1) &
    pid=$!
    if ! (umask 027 && echo "$pid" >"$pid_file"); then
        kill "$pid"
        say "no page: cannot write $pid_file" >&2
        return
    fi
    SECONDS=0
    until serving=$(news "$log" "$before" | grep -a -m 1 -o ' on http://.*'); do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS >= 20)); then
            kill "$pid" 2>/dev/null || true
            rm -f -- "$pid_file"
            say "no page: statusd does not serve; what it said, also in $log:" >&2
            news "$log" "$before" | head -n 10 >&2
            return
        fi
        sleep 0.05
    done
    say "the page is$serving (pid $pid)"
}
