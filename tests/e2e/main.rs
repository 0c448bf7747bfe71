//! The stories. Each file is one.

mod broken_input;
mod clients;
mod dump_through_ssh;
mod icinga2_dump;
mod manual;
mod no_runtime;
mod remote_site;
