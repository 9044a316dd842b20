#!/usr/bin/env bash
# mirror.sh refresh MIRROR URL, mirror.sh repack MIRROR: what `build` does to a mirror while nobody else is at it.
set -euo pipefail
what=$1 mirror=$2 url=${3-}

# As in the chunk checkout_repos: few transports, and nobody is there to be asked.
export GIT_ALLOW_PROTOCOL="${GIT_ALLOW_PROTOCOL:-https:ssh:file}" GIT_ASKPASS="${GIT_ASKPASS:-true}"
export GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-$(git config core.sshCommand || echo ssh) -o BatchMode=yes}"

# What is fetched is looked at, since a clone from here is not; it makes one pack, and git tidies up nothing by itself.
git() { command git -c transfer.fsckObjects=true -c fetch.unpackLimit=1 -c gc.auto=0 -c maintenance.auto=false "$@"; }
in_mirror() { git --git-dir="$mirror" "$@"; }

fetch() {
    # What was left by one that was killed.
    find "$mirror" -name '*.lock' -delete
    find "$mirror/objects" -maxdepth 2 -name 'tmp_*' -exec rm -rf -- {} +
    in_mirror fetch --quiet --prune -- "$url" \
        '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' '+HEAD:refs/amp_ci/HEAD'
}

# The default branch of today: amp_bootstrap is checked out there.
point_head() {
    local there name
    there=$(in_mirror rev-parse --verify refs/amp_ci/HEAD)
    [ "$(in_mirror rev-parse --verify --quiet HEAD)" != "$there" ] || return 0
    name=$(in_mirror for-each-ref --count=1 --points-at="$there" --format='%(refname)' refs/heads)
    if [ -n "$name" ]; then
        in_mirror symbolic-ref HEAD "$name"
    else
        in_mirror update-ref --no-deref HEAD "$there"
    fi
}

# git would wait for who writes into a FIFO.
is_plain() { [ -z "$(find "$mirror" ! -type d ! -type f -print -quit)" ]; }

refresh() {
    if [ ! -L "$mirror" ] && [ -d "$mirror" ] && [ -O "$mirror" ] && [ ! -e "$mirror.bad" ] && is_plain; then
        if fetch && point_head; then return; fi
        # Is it the mirror's fault, or the forge's?
        git ls-remote --quiet -- "$url" HEAD >/dev/null
    fi
    rm -rf -- "$mirror" "$mirror.new" "$mirror.bad"
    git clone --quiet --bare -- "$url" "$mirror.new"
    mv -T -- "$mirror.new" "$mirror"
}

# What cannot be is made anew, or it would be tried before each build.
repack() { in_mirror repack -a -d --quiet || touch -- "$mirror.bad"; }

"$what"
