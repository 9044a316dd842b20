//! What all requests share: the hooks, and what the command line says about answers and bounds.

use axum::http::HeaderMap;

use super::hook_table::HookTable;
use crate::webhook::{
    client::TrustedProxies,
    command::CommandQueue,
    http::{BodyLimits, headers},
    memory::MemoryBudget,
    options::Options,
};

/// What all requests share.
pub struct Service {
    pub hooks: HookTable,
    /// What the path of a hook begins with: `/hooks/`.
    pub prefix: String,
    /// Of hooks that list none; none here either means any.
    pub methods: Vec<String>,
    pub headers: HeaderMap,
    /// Whether a client may name its request's id, and how long (0: as it likes).
    pub request_id_limit: Option<usize>,
    pub proxies: TrustedProxies,
    pub body_limits: BodyLimits,
    pub memory: MemoryBudget,
    /// Of heads that are longer than heads are: no body has to wait for them.
    pub heads: MemoryBudget,
    pub queue: Option<CommandQueue>,
    pub debug: bool,
}

/// Bytes of bodies, of what is made of them, and of outputs that are held at a time.
const MEMORY: usize = 256 << 20;

/// Bytes of long heads that are held at a time.
const HEADS: usize = 32 << 20;

impl Service {
    pub fn new(options: &Options, hooks: HookTable) -> Self {
        let prefix = match options.urlprefix.as_str() {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        };
        let methods = match options.http_methods.as_str() {
            "" => Vec::new(),
            list => list.split(',').map(|method| method.replace(' ', "").to_uppercase()).collect(),
        };
        Self {
            hooks,
            prefix,
            methods,
            headers: headers(&options.header),
            request_id_limit: options
                .x_request_id
                .then(|| usize::try_from(options.x_request_id_limit).unwrap_or(0)),
            proxies: options.trusted_proxies.clone(),
            body_limits: BodyLimits { size: options.max_body_size, time: options.body_timeout },
            memory: MemoryBudget::new(MEMORY.max(options.max_body_size.saturating_mul(4))),
            heads: MemoryBudget::new(HEADS),
            queue: CommandQueue::new(options.max_concurrency, options.max_waiting),
            debug: options.debug,
        }
    }
}
