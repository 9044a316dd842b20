#!/usr/bin/env bash
# Every check of this project, for people and for CI: formatting, lints, shell scripts, tests, the demonstration.
set -euo pipefail

if [[ $# -gt 0 ]]; then
    echo 'usage: ./check.sh     runs every check; takes no arguments'
    [[ $* == --help || $* == -h ]] || exit 2
    exit 0
fi

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"

step() { printf '\n--- %s (%d s)\n\n' "$*" "$SECONDS"; }

# Whether a checker is installed. Where it must be, AMP_CI_REQUIRE_LINTERS says so.
has() {
    command -v "$1" > /dev/null && return
    echo "SKIPPED: $1 is not installed"
    [[ -z ${AMP_CI_REQUIRE_LINTERS-} ]] || exit 1
    return 1
}

# Scripts say so in their first line; home.sh, page.sh, the chunks and the sample of environment.sh are parts of scripts.
shell_scripts() {
    git ls-files scripts home.sh page.sh environment.sh-sample
    git grep --cached -l -I -E '^#!/(usr/bin/env |bin/)(ba)?sh$' | while IFS= read -r file; do
        [[ $(head -c 2 -- "$file") != '#!' ]] || echo "$file"
    done
}

step 'cargo fmt'
cargo fmt --check

step 'cargo clippy'
cargo clippy --all-targets --locked -- -D warnings

step 'shellcheck'
mapfile -t scripts < <(shell_scripts)
printf '%s\n' "${scripts[@]}"
shellcheck --external-sources -- "${scripts[@]}"

step 'cargo deny: licences, sources, crates that come twice'
if has cargo-deny; then cargo deny --locked check --hide-inclusion-graph bans licenses sources; fi

step 'The manual pages and the completions'
if has lowdown && has mandoc; then
    manual=$(mktemp -d)
    packaging/manual "$manual"
    mandoc -T lint -W warning "$manual"/*.[158]
    for shell in bash zsh fish; do
        if has "$shell"; then for script in "$manual"/*."$shell"; do "$shell" -n "$script"; done; fi
    done
    rm -r -- "$manual"
fi

step 'cargo test, both tiers'
cargo test --locked -- --include-ignored

step 'demo.sh'
./demo.sh

step 'All checks passed'
