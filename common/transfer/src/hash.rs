//! The hash by which a state dump names the configuration that it belongs to.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use program::{Failure, Status};

use crate::signature::hex;

/// The SHA-256 of a file in hexadecimal.
pub fn hash(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::caused(Status::Failed, path.display().to_string(), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hex(context.finish().as_ref())),
            length => context.update(&buffer[..length]),
        }
    }
}
