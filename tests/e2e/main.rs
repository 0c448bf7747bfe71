//! The stories. Each file is one.

mod icinga2_dump;
mod manual;
mod no_runtime;
