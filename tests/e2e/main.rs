//! The stories. Each file is one.

mod icinga2_dump;
mod no_runtime;
