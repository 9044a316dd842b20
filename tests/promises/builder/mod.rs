//! What `build` promises.

mod after;
mod check;
mod chunks;
mod containment;
mod demo;
mod distribute;
mod git_password;
mod heartbeat;
mod home;
mod isolation;
mod launcher;
mod log;
mod mail;
mod mask;
mod one_push;
mod output;
mod process_end;
mod records;
mod settings;
mod shipped_chunks;
mod slots;
mod surroundings;
mod telling;
mod untrusted;
mod whole_tree;
mod work_dir;
