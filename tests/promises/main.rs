//! The promises of amp_ci, kept on real processes, bash, git, sockets and SMTP: one program, a file per promise.
