//! `-check`: what the hooks files define, or what is wrong with them.

use std::{collections::HashMap, path::Path, process::ExitCode};

use crate::{
    text::printable,
    webhook::{hooks, options::Options},
};

/// Loads the files as the daemon would, and says what it finds.
pub fn run(options: &Options) -> ExitCode {
    let mut sound = true;
    let mut owners: HashMap<String, &Path> = HashMap::new();
    for path in &options.hooks {
        let shown = path.display().to_string();
        let shown = printable(&shown);
        let loaded = match hooks::load(path, options.template) {
            Ok(loaded) => loaded,
            Err(error) => {
                println!("{shown}: {}", printable(&error.to_string()));
                sound = false;
                continue;
            }
        };
        println!("{shown}: {} hook(s)", loaded.hooks.len());
        for hook in &loaded.hooks {
            println!("    {} runs {}", printable(&hook.id), printable(&hook.execute_command));
            if let Some(owner) = owners.insert(hook.id.clone(), path) {
                println!("    error: {} is defined in {} already", printable(&hook.id), owner.display());
                sound = false;
            }
            if let Some(why) = &hook.disabled {
                println!("    error: {} never runs: {}", printable(&hook.id), printable(why));
                sound = false;
            }
        }
        for warning in &loaded.warnings {
            println!("    warning: {}", printable(warning));
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
