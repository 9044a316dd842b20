//! The hooks that are served, and how they are loaded and replaced while requests are.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tracing::{error, info, warn};

use crate::webhook::{
    command::CommandQueue,
    hooks::{self, Hook},
};

/// A hook that is served.
#[derive(Debug, Clone)]
pub struct ServedHook {
    pub hook: Arc<Hook>,
    /// Its own bound on commands at a time, if it has one.
    pub queue: Option<CommandQueue>,
}

/// All hooks by their files. A request takes what it needs in one step; a reload replaces a file's hooks in one.
#[derive(Debug)]
pub struct HookTable {
    template: bool,
    table: RwLock<Arc<Table>>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    files: Vec<(PathBuf, Vec<ServedHook>)>,
    by_id: HashMap<Vec<u8>, ServedHook>,
}

/// An id that is in two files, or twice in one.
#[derive(Debug, thiserror::Error)]
#[error("error: hook with the id {0} has already been loaded! check the hooks files for duplicate ids")]
pub struct Duplicate(String);

impl HookTable {
    /// Loads `paths` in order. Why a file does not load comes along; it is tried again at each reload.
    pub fn load(paths: &[PathBuf], template: bool) -> Result<(Self, Vec<String>), Duplicate> {
        let mut table = Table::default();
        let mut faults = Vec::new();
        for path in paths {
            info!("attempting to load hooks from {}", path.display());
            let mut served = Vec::new();
            for hook in read(path, template).unwrap_or_else(|fault| {
                faults.push(fault);
                Vec::new()
            }) {
                // Twice in one file is not looked for here: the first one is served, as by webhook 2.8.
                if table.by_id.contains_key(hook.id.as_bytes()) {
                    return Err(Duplicate(hook.id));
                }
                info!("\tloaded: {}", hook.id);
                served.push(table.serve(hook));
            }
            table.files.push((path.clone(), served));
            table.index();
        }
        Ok((Self { template, table: RwLock::new(Arc::new(table)) }, faults))
    }

    /// The hook with this id.
    pub fn find(&self, id: &[u8]) -> Option<ServedHook> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.current().by_id.is_empty()
    }

    pub fn reload_all(&self) {
        for (path, _) in &self.current().files {
            self.reload(path);
        }
    }

    /// Reads `path` again and takes what it says; if that is wrong in any way, everything stays as it was.
    pub fn reload(&self, path: &Path) {
        info!("attempting to reload hooks from {}", path.display());
        let Ok(hooks) = read(path, self.template) else { return };
        let old = self.current();
        let others = old.files.iter().filter(|(file, _)| file != path).flat_map(|(_, hooks)| hooks);
        let mut ids: HashSet<String> = others.map(|served| served.hook.id.clone()).collect();
        let mut served = Vec::new();
        for hook in hooks {
            if !ids.insert(hook.id.clone()) {
                error!("{}", Duplicate(hook.id));
                info!("reverting hooks back to the previous configuration");
                return;
            }
            info!("\tloaded: {}", hook.id);
            served.push(old.serve(hook));
        }
        self.replace(path, &served);
    }

    /// Takes away the hooks of a file that is gone.
    pub fn remove(&self, path: &Path) {
        let table = self.current();
        let removed = table.files.iter().filter(|(file, _)| file == path).flat_map(|(_, hooks)| hooks);
        let removed: Vec<_> = removed.inspect(|served| info!("\tremoving: {}", served.hook.id)).collect();
        info!("removed {} hook(s) that were loaded from file {}", removed.len(), path.display());
        self.replace(path, &[]);
    }

    fn current(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, path: &Path, served: &[ServedHook]) {
        let mut table = Table::clone(&self.current());
        for (_, hooks) in table.files.iter_mut().filter(|(file, _)| file == path) {
            *hooks = served.to_vec();
        }
        table.index();
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }
}

impl Table {
    /// A hook of the same id and bounds keeps its queue: who runs and waits now still counts.
    fn serve(&self, hook: Hook) -> ServedHook {
        let queue = CommandQueue::new(hook.max_concurrency, hook.max_waiting).map(|queue| {
            let old = self.by_id.get(hook.id.as_bytes()).and_then(|served| served.queue.clone());
            old.filter(|old| old.has_bounds_of(&queue)).unwrap_or(queue)
        });
        ServedHook { hook: Arc::new(hook), queue }
    }

    fn index(&mut self) {
        self.by_id.clear();
        for served in self.files.iter().flat_map(|(_, hooks)| hooks) {
            self.by_id.entry(served.hook.id.clone().into_bytes()).or_insert_with(|| served.clone());
        }
    }
}

/// What `path` defines, or why it does not load; said in the log.
fn read(path: &Path, template: bool) -> Result<Vec<Hook>, String> {
    match hooks::load(path, template) {
        Ok(loaded) => {
            info!("found {} hook(s) in file", loaded.hooks.len());
            for warning in &loaded.warnings {
                warn!("warning: {warning}");
            }
            Ok(loaded.hooks)
        }
        Err(error) => {
            error!("couldn't load hooks from file! {error}");
            Err(error.to_string())
        }
    }
}
