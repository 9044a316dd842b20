//! What a build of a push may do by accident, to itself, to its record and to `build`. A push says by its committer's
//! address what its build does.
//!
//! What it takes malice for is left out: to name another's record or the queue's own files, to stop `build` with SIGSTOP, to
//! strip both mark and parent from a process that goes on forking.

use std::path::Path;

/// One way to be bad.
pub struct BadBuild {
    /// The local part of the address.
    pub name: &'static str,
    /// A line of bash. `$record` is the directory of its record, `$left` what leaves a process.
    does: &'static str,
    /// What becomes of it, besides success and failure: `error` is what all may come to that die three times.
    pub may_end: &'static [&'static str],
    /// It takes away what its tries are counted by, or what its result is written to.
    pub wrecks_record: bool,
    /// So often it asks for another try.
    pub asks: usize,
}

const fn bad(name: &'static str, does: &'static str) -> BadBuild {
    BadBuild { name, does, may_end: &[], wrecks_record: false, asks: 0 }
}

const fn wrecks(name: &'static str, does: &'static str) -> BadBuild {
    BadBuild { wrecks_record: true, ..bad(name, does) }
}

pub const BAD_BUILDS: [BadBuild; 25] = [
    // It signals who started it: by its own shell, by a program that is gone before anybody can ask it, and by one that stays.
    bad("term", "kill -TERM $PPID"),
    bad("int", "kill -INT $PPID"),
    bad("hup", "(setsid bash -c \"kill -HUP $PPID; exec -a $left sleep 1000\" &)"),
    bad("kill-1", "/bin/kill -TERM $PPID"),
    bad("kill", "kill -KILL $PPID"),
    // Its own group.
    bad("group-term", "kill -TERM 0"),
    bad("group-hup", "kill -HUP 0"),
    bad("group-kill", "kill -KILL 0"),
    BadBuild { may_end: &["timed_out"], ..bad("group-stop", "kill -STOP 0") },
    BadBuild { may_end: &["timed_out"], ..bad("stop", "kill -STOP $$") },
    // It fills.
    bad("output", "head -c 3000000 /dev/zero | tr '\\0' x"),
    bad("files", "for n in $(seq 2000); do : >f$n; done; mkdir -p $(printf 'd/%.0s' $(seq 300))"),
    // It leaves what outlives it: a daemon, one without our mark, a chain of which each is another's parent no more.
    bad("daemon", "(setsid bash -c \"(exec -a $left sleep 1000 &); exec -a $left sleep 1000\" &)"),
    bad("no-mark", "(env -i setsid bash -c \"exec -a $left-without-mark sleep 1000\" &)"),
    bad(
        "chain",
        "chain() if [ $1 -gt 0 ]; then (chain $(($1 - 1)) &); exec -a $left sleep 1000; fi; (chain 50 &)",
    ),
    bad("deaf", "exec >&- 2>&-; trap '' TERM INT HUP"),
    // It removes and replaces what is its own.
    wrecks("rm-record", "rm -rf \"$record\""),
    wrecks("rm-files", "rm -rf \"$record\"/*"),
    bad("rm-workspace", "rm -rf \"$PWD\""),
    bad("rm-entry", "rm -f \"$record/../../queue/build-$AMP_CI_BUILD_ID.lock\""),
    wrecks("output-dir", "rm -f \"$record/output.log\"; mkdir \"$record/output.log\""),
    wrecks(
        "fifos",
        "cd \"$record\"; rm -f running.json request.json output.log; mkfifo running.json request.json output.log",
    ),
    wrecks("result-dir", "mkdir -p \"$record/result.json/x\""),
    wrecks("no-record", "rm -rf \"$record\"; echo garbage >\"$record\""),
    // Another time, please.
    BadBuild {
        asks: 2,
        ..bad("again", "[ $(grep -c \"begin $AMP_CI_BUILD_ID\" \"$lane\") -gt 2 ] || exit 75")
    },
];

/// What a build does by its committer's address, if it is bad.
pub fn of(email: &str) -> Option<&'static BadBuild> {
    let name = email.split('@').next()?;
    BAD_BUILDS.iter().find(|bad| bad.name == name)
}

/// Marks begin and end in the lane's own file, which two builds that overlap would interleave; leaves things behind; is bad if it
/// is to be; fails now and then.
pub fn chunk(home: &Path, lanes: &Path) -> String {
    let (home, lanes) = (home.display(), lanes.display());
    let bad = BAD_BUILDS.map(|BadBuild { name, does, .. }| format!("{name}@*) {does} ;;\n")).concat();
    format!(
        "lane={lanes}/$AMP_CI_REPOSITORY-${{AMP_CI_BRANCH##*/}}; lane=${{lane/%-master/-main}}\n\
         record=$(dirname \"$0\") left={home}/left\n\
         echo begin $AMP_CI_BUILD_ID >> $lane\n\
         (setsid bash -c \"exec -a $left sleep 1000\" &)\n\
         case $AMP_CI_COMMITTER_EMAIL in\n{bad}esac\n\
         bash -c 'exec -a {home}/child sleep 0.0'$((RANDOM % 9 + 1)) & wait $!\n\
         for n in 1 2 3; do bash -c 'exec -a {home}/grandchild sleep 0.01'; done\n\
         echo end $AMP_CI_BUILD_ID >> $lane\n\
         [[ $AMP_CI_BUILD_ID != *[05] ]]\n"
    )
}
