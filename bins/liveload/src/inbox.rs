//! A directory into which dumps are put as whole files.
