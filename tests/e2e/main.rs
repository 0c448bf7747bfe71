//! The stories. Each file is one.

mod broken_input;
mod checkmk_spool;
mod clients;
mod config_import;
mod dump_and_load;
mod dump_through_ssh;
mod icinga2_contacts;
mod icinga2_dump;
mod icinga2_spared;
mod isolation;
mod livedump_nagios;
mod liveload_nagios;
mod livestatus_queries;
mod lq_people;
mod manual;
mod no_runtime;
mod notify_calls;
mod notify_chaos;
mod notify_cores;
mod notify_kill;
mod notify_link;
mod notify_sites;
mod openssl;
mod readme_walk;
mod remote_site;
mod wires;
