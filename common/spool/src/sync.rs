//! The syncs that everything rests on, in one place.
//!
//! The feature `without-sync` makes them do nothing. It exists so that the test
//! that cuts the power can be tested: without syncs it must find something.

use std::fs::File;
use std::io;

/// Makes the bytes of a file and its length durable.
pub(crate) fn data(file: &File) -> io::Result<()> {
    match cfg!(feature = "without-sync") {
        true => Ok(()),
        false => file.sync_data(),
    }
}

/// Makes all of a file durable; of a directory, its names.
pub(crate) fn all(file: &File) -> io::Result<()> {
    match cfg!(feature = "without-sync") {
        true => Ok(()),
        false => file.sync_all(),
    }
}
