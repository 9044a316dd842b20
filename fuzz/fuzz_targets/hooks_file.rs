//! A hooks file, with and without its template: it loads, or it is said why not.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use amp_ci::webhook::hooks;
use libfuzzer_sys::fuzz_target;

static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("amp_ci-fuzz-{}", std::process::id());
    ["/dev/shm", "/tmp"]
        .map(PathBuf::from)
        .into_iter()
        .find(|dir| dir.is_dir())
        .expect("a directory")
        .join(name)
});

fuzz_target!(init: {
    // One that the YAML parser raises is caught where it is called; libfuzzer's own hook would end the process first.
    std::panic::set_hook(Box::new(|_| {}));
}, |data: &[u8]| {
    fs::write(&*PATH, data).expect("it can be written");
    for template in [false, true] {
        match hooks::load(&PATH, template) {
            Ok(loaded) => assert!(loaded.warnings.iter().all(|warning| !warning.is_empty())),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let _ = fs::remove_file(&*PATH);
});
