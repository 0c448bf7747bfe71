#![allow(dead_code)]
mod cli;
mod config;
mod delivery;
mod environment;
mod figures;
mod maildir;
mod script;
mod state_file;
mod stop;
mod waiting;
fn main() {}
