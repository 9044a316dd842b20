//! What is promised whatever fails: each call of a program, the machine, the mail server, the cluster.
//! It takes minutes, so it is a second tier: `cargo test -- --ignored`.

mod crash_points;
mod disk_states;
mod machine;
mod mail;
mod matters;
mod mirror_states;
mod power_cut;
mod slurm;
mod stored;
mod storm;
mod strange_files;
mod strange_mirrors;
mod strange_starts;
mod supersede;
mod through_the_hook;
