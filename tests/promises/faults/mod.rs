//! What is promised whatever fails: each call of a program, the machine, the mail server, the cluster.

mod crash_points;
mod machine;
mod mail;
mod slurm;
mod stored;
mod storm;
mod through_the_hook;
