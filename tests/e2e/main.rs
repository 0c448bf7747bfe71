//! The stories. Each file is one.

mod broken_input;
mod dump_through_ssh;
mod icinga2_dump;
mod livestatus_queries;
mod manual;
mod no_runtime;
mod remote_site;
