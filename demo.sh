#!/usr/bin/env bash
# The whole of amp_ci on loopback, in a temporary home, in one command: signed deliveries come in as from GitHub,
# one build succeeds, one breaks, and its committer gets the mail. Needs cargo, bash and git. Exits 0 only if all of
# it came out as expected, and leaves nothing behind but, after a failure, the home to look at.
set -euo pipefail

usage() {
    cat <<'END'
Usage: demo.sh [--look]

  --look   keeps the page up with its address, to be looked at in a browser, until Enter

Shows the whole of amp_ci on loopback, in a temporary home that goes afterwards: what GitHub sends, what is queued,
what is built, and the e-mail. Compiles first. Exits with 0 only if all of it came out as expected. What it shows is
shortened (hashes, paths, long output); colours are for terminals, unless NO_COLOR is set.
END
}

look=no
case $#-${1-} in
0-) ;;
1---look) look=yes ;;
*--h | *-help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac

checkout=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
home='' build_pid='' checks=0 failures=0

# --- what this script says ------------------------------------------------------------------------------------------

bold='' green='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} && ${TERM-dumb} != dumb ]]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

title() { printf '\n%s=== %s%s\n\n' "$bold" "$*" "$plain"; }

# For 80 columns: hashes short, the home by its name.
indented() {
    sed -E -e 's/\b([0-9a-f]{7})[0-9a-f]{33}\b/\1/g' -e "s|${home:-/nowhere}|HOME|g" |
        fold -s -w 76 | sed -e 's/ $//' -e 's/^/    /'
}

# Of the output that a letter quotes between two lines of dashes, the end.
end_of_output() {
    awk '/^-----/ && quoting++ {
             if (n > 4) print "[... " n - 4 " lines, and then:]"
             for (i = n > 4 ? n - 3 : 1; i <= n; i++) print line[i]
         }
         /^-----/ || quoting != 1 { print; next }
         { line[++n] = $0 }'
}

# build.log as it comes, without dates and places in the program. What a build printed is only counted.
log_lines() {
    local line printed=0
    while IFS= read -r line; do
        if [[ $line == '    '* ]]; then
            printed=$((printed + 1))
            continue
        fi
        ((printed == 0)) || indented <<<"         [$printed lines of output, whose end is in the letter below]"
        printed=0
        line=$(sed -E 's/^[-0-9]+ ([0-9:]+),[0-9]+ \[(.{5}) *\] \([^)]*\)  /\1 \2 /' <<<"$line" | indented)
        [[ $line != *' ERROR '* ]] || line=$red$line$plain
        echo "$line"
    done
}

# expect WHAT COMMAND...: one of the outcomes that the demo stands for.
expect() {
    local what=$1
    shift
    checks=$((checks + 1))
    if "$@"; then
        echo "  ${green}ok$plain      $what"
    else
        echo "  ${red}FAILED$plain  $what"
        failures=$((failures + 1))
    fi
}

# However it ends, the daemon and the builds end with it.
finish() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [[ -n $build_pid ]] && kill -TERM "$build_pid" 2>/dev/null; then wait "$build_pid" || true; fi
    if [[ -n $home ]]; then
        AMP_CI_HOME=$home "$checkout/stop_webhook.sh" >/dev/null || status=1
        if ((status == 0)); then rm -rf -- "$home"; else echo "What is left to look at: $home" >&2; fi
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# --- what GitHub does -----------------------------------------------------------------------------------------------

# hmac_sha256 KEY: the HMAC-SHA256 of standard input in hex, by its definition (RFC 2104), for keys up to 64 bytes.
hmac_sha256() {
    local key=$1 inner_pad='' outer_pad='' i byte digest
    for ((i = 0; i < 64; i++)); do
        byte=0
        ((i < ${#key})) && printf -v byte %d "'${key:i:1}"
        printf -v inner_pad '%s\\x%02x' "$inner_pad" $((byte ^ 0x36))
        printf -v outer_pad '%s\\x%02x' "$outer_pad" $((byte ^ 0x5c))
    done
    digest=$({ printf %b "$inner_pad"; cat; } | sha256sum | cut -c 1-64 | sed 's/../\\x&/g')
    printf %b "$outer_pad$digest" | sha256sum | cut -c 1-64
}

# deliver EVENT BODY [SECRET]: posts it as GitHub does, and leaves what came back in $status and $answer.
deliver() {
    local event=$1 body=$2 signature connection reply
    signature=$(printf %s "$body" | hmac_sha256 "${3:-$secret}")
    exec {connection}<>"/dev/tcp/127.0.0.1/$port"
    printf '%s\r\n' "POST /webhook/amp_main HTTP/1.1" "Host: 127.0.0.1:$port" 'User-Agent: GitHub-Hookshot/demo' \
        'Accept: */*' 'Content-Type: application/json' "X-GitHub-Event: $event" \
        "X-GitHub-Delivery: 00000000-0000-4000-8000-$(printf %012d "$checks")" \
        "X-Hub-Signature-256: sha256=$signature" "Content-Length: ${#body}" 'Connection: close' '' >&"$connection"
    printf %s "$body" >&"$connection"
    reply=$(timeout 30 tr -d '\r' <&"$connection")
    exec {connection}>&-
    status=$(head -n 1 <<<"$reply" | cut -d ' ' -f 2)
    answer=$(sed '1,/^$/d' <<<"$reply")
    echo "  GitHub's view: $status  $answer"
}

# push BEFORE AFTER DELETED: what GitHub posts about main, cut down to what is of interest here.
push() {
    local commit=null
    [[ $3 == true ]] || commit="{\"id\":\"$2\",\"message\":\"$(git -C "$home/work" log -1 --format=%s "$2")\",\"timestamp\":\"2026-11-22T11:13:41Z\"}"
    cat <<END
{"ref":"refs/heads/main","before":"$1","after":"$2","created":false,"deleted":$3,"forced":false,"base_ref":null,
"repository":{"id":344000123,"name":"amp_mgms","full_name":"AudiovisualMetadataPlatform/amp_mgms","private":false},
"pusher":{"name":"amp-developer","email":"developer@example.org"},"sender":{"login":"amp-developer","type":"User"},
"commits":[$([[ $commit == null ]] || echo "$commit")],"head_commit":$commit}
END
}

entries() { find "$home/queue" -name 'build-*' | wc -l; }
outcomes() { cat "$home"/builds/*/result.json 2>/dev/null | grep -o '"outcome":"[a-z_]*","rc":[-0-9a-z]*' | tr '\n' ' '; }
# page PATH: what a browser gets of the page there.
page() {
    local connection
    exec {connection}<>"/dev/tcp/127.0.0.1/$page_port"
    printf '%s\r\n' "GET $1 HTTP/1.1" "Host: 127.0.0.1:$page_port" 'Connection: close' '' >&"$connection"
    timeout 30 cat <&"$connection"
    exec {connection}>&-
}
is() { [[ $1 == "$2" ]]; }
contains() { [[ $1 == *"$2"* ]]; }

# --- 1 --------------------------------------------------------------------------------------------------------------

title 'Compiling (the first time takes some minutes)'
command -v cargo >/dev/null || { echo 'There is no cargo: install Rust 1.89 or later, see https://rustup.rs' >&2; exit 1; }
(cd -- "$checkout" && cargo build --release --locked --target-dir target)

# --- 2 --------------------------------------------------------------------------------------------------------------

home=$(mktemp -d "${TMPDIR:-/tmp}/amp_ci-demo.XXXXXX")
title "A home for the demo, HOME below: $home"

# Nothing of a real installation reaches in here.
unset "${!AMP_CI_@}" "${!SECRET@}" AMP_DISTRIBUTE_TO AMP_BUILD_ENVIRONMENT
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME='AMP Developer' GIT_AUTHOR_EMAIL=developer@example.org
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL

mkdir "$home"/{queue,github,mail,packages,scratch}
cp -R "$checkout/hooks.json" "$checkout/scripts" "$home"
secret=$(head -c 30 /dev/urandom | base64)
cat >"$home/environment.sh" <<END
SECRET='$secret'
AMP_CI_GIT_BASE=file://${home@Q}/github
AMP_CI_SMTP_URL=file://${home@Q}/mail
AMP_CI_MAIL_FROM=amp_ci@ci.example.org
AMP_CI_MAIL_FALLBACK=operator@example.org
AMP_CI_WORK_DIR=${home@Q}/scratch
AMP_DISTRIBUTE_TO=${home@Q}/packages
AMP_CI_PAGE=127.0.0.1:0
END
chmod 600 "$home/environment.sh"
export AMP_CI_HOME=$home

# Two repositories where GitHub would be; amp_devel.py stands in for the real one.
git init --quiet --initial-branch=main "$home/github/amp_bootstrap"
cp "$checkout/tests/fixtures/amp_devel.py" "$home/github/amp_bootstrap"
git -C "$home/github/amp_bootstrap" add .
git -C "$home/github/amp_bootstrap" commit --quiet -m 'A small amp_bootstrap'

git init --quiet --bare --initial-branch=main "$home/github/amp_mgms"
git clone --quiet "$home/github/amp_mgms" "$home/work" 2>/dev/null
git -C "$home/work" checkout --quiet -B main
# commit MESSAGE GREETING: a commit whose test passes if the greeting is right; prints its hash.
commit() {
    cat >"$home/work/amp_build.py" <<END
#!/usr/bin/env bash
[[ \$1 == --package ]]
greeting='$2'
echo "testing: the greeting is '\$greeting'"
[[ \$greeting == Hello ]] || { echo "test failed: the greeting should be 'Hello'" >&2; exit 3; }
echo "\$greeting" >greeting
tar -cf "\$2/amp_mgms-1.0.tar" greeting
END
    chmod +x "$home/work/amp_build.py"
    git -C "$home/work" add .
    git -C "$home/work" commit --quiet -m "$1"
    git -C "$home/work" push --quiet origin main
    git -C "$home/work" rev-parse HEAD
}
zero=$(printf %040d 0)
good=$(commit 'Greet' Hello)
breaking=$(commit 'Greet more briefly' Helo)
git -C "$home/work" log --format='  amp_mgms %h %s' --reverse

# --- 3 --------------------------------------------------------------------------------------------------------------

title 'The daemon: start_webhook.sh'
started=$("$checkout/start_webhook.sh" -ip 127.0.0.1 -port 0)
indented <<<"$started"
page_port=$(sed -n 's|.*the page is on http://127\.0\.0\.1:\([0-9]*\)/.*|\1|p' <<<"$started")
port=$(sed -n 's|.*http://127\.0\.0\.1:\([0-9]*\)/webhook/.*|\1|p' <<<"$started")

# --- 4 --------------------------------------------------------------------------------------------------------------

title 'Deliveries, signed as GitHub signs them'

echo 'The first delivery of a new hook, a ping:'
deliver ping '{"zen":"Keep it logically awesome.","hook_id":512000777,"hook":{"type":"Repository","name":"web","active":true,"events":["push"]},"repository":{"name":"amp_mgms"}}'
expect 'is answered 200' is "$status" 200
expect 'and queues nothing' is "$(entries)" 0

echo 'A push:'
deliver push "$(push "$zero" "$good" false)"
expect 'is answered 200' is "$status" 200
expect 'and is queued' contains "$answer" 'queued build-'

echo 'A push that breaks the build:'
deliver push "$(push "$good" "$breaking" false)"
expect 'is answered 200' is "$status" 200
expect 'and is queued' contains "$answer" 'queued build-'

echo 'A branch is deleted:'
deliver push "$(push "$breaking" "$zero" true)"
expect 'is answered 200' is "$status" 200
expect 'and queues nothing' is "$(entries)" 2

echo 'Somebody who does not know the secret:'
deliver push "$(push "$good" "$breaking" false)" 'a guess'
expect 'is answered 403' is "$status" 403
expect 'and queues nothing' is "$(entries)" 2

# --- 5 --------------------------------------------------------------------------------------------------------------

title 'The queue: its entries, and what is in the second'
for entry in "$home"/queue/build-*; do
    echo "    ${entry##*/}"
done
indented <"$entry"
echo

# --- 6 --------------------------------------------------------------------------------------------------------------

title 'What cron does every minute: build --threads 2 (this is build.log)'
: >"$home/build.log"
"$checkout/build" --threads 2 2>"$home/build.stderr" &
build_pid=$!
tail --pid="$build_pid" --sleep-interval=0.2 -n +1 -f "$home/build.log" | log_lines
build_status=0
wait "$build_pid" || build_status=$?
build_pid=''
indented <"$home/build.stderr"
echo
expect 'build exits 0: a broken build is no error of its own' is "$build_status" 0

# --- 7 --------------------------------------------------------------------------------------------------------------

title 'The queue afterwards, and the records in builds/'
expect 'the queue is empty' is "$(entries)" 0
expect 'nothing is left in the work directory' is "$(ls -A "$home/scratch")" ''
for record in "$home"/builds/*; do
    [[ -f $record/result.json ]] || continue
    echo
    echo "  builds/${record##*/}: $(cd "$record" && echo *)"
    sed 's/,"/, "/g' "$record/result.json" | indented
done
echo
expect 'one succeeded, then one failed with the exit code of its script' is "$(outcomes)" \
    '"outcome":"succeeded","rc":0 "outcome":"failed","rc":3 '
expect 'the package of the good push was distributed' \
    is "$(tar -xOf "$home/packages/amp_mgms-1.0.tar" greeting 2>/dev/null)" Hello
expect 'and is in the manifest there' is "$(cat "$home/packages/manifest.txt" 2>/dev/null)" amp_mgms-1.0.tar
expect 'build.log has the output of the broken build' \
    grep -q "^    .*test failed: the greeting should be 'Hello'" "$home/build.log"

# --- 8 --------------------------------------------------------------------------------------------------------------

title 'The e-mail that the committer of the broken build gets'
letters=("$home"/mail/*.eml)
end_of_output <"${letters[0]}" | indented
echo
expect 'one letter was sent, not two' is "${#letters[@]}" 1
expect 'to the committer' grep -q '^To: .*developer@example\.org' "${letters[0]}"
expect 'about the breaking commit' grep -q "The build for amp_mgms commit $breaking in the branch refs/heads/main has failed" "${letters[0]}"
expect 'with the output' grep -q "test failed: the greeting should be 'Hello'" "${letters[0]}"

# --- the page -------------------------------------------------------------------------------------------------------

title 'What people see, here in a terminal: build status'
("$checkout/build" status || true) | indented
echo
front=$(page /)
expect 'the page says which branch is red' contains "$front" 'amp_mgms'
expect 'and by which commit' contains "$front" "${breaking:0:7}"
expect 'the output of the broken build is there' contains \
    "$(page "/builds/$(basename -- "$record")/output.log")" "test failed: the greeting should be 'Hello'"
if [[ $look == yes ]]; then
    printf '\n  Look at http://127.0.0.1:%s/ in a browser; Enter goes on.\n' "$page_port"
    read -r || true
fi

# --- 9 --------------------------------------------------------------------------------------------------------------

title 'The end: stop_webhook.sh'
"$checkout/stop_webhook.sh" | indented
expect 'the daemon is gone' test ! -e "$home/webhook.pid"

title 'Result'
if ((failures)); then
    echo "$red$failures of $checks checks FAILED.$plain" >&2
    exit 1
fi
cat <<END
${green}All $checks checks passed$plain: five deliveries, two builds, one letter, nothing left.
For real use: README.md, "Setting it up": a secret, a webhook, a line for cron.
Then ./build --check says what is still missing.
END
