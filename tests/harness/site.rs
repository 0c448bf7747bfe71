//! A monitoring site: a directory with `etc`, `var` and `tmp/run`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A site in a temporary directory, removed on drop. Its path is short, because
/// the path of a Unix socket has 107 bytes at most.
pub struct Site {
    name: String,
    directory: TempDir,
}

impl Site {
    /// An empty site.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("sw-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .expect("cannot make a directory for a site");
        let site = Self {
            name: name.to_owned(),
            directory,
        };
        for part in ["etc", "var", "tmp/run"] {
            fs::create_dir_all(site.path(part)).expect("cannot make the directories of a site");
        }
        site
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path inside it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// A socket inside it: `tmp/run/NAME`.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.path("tmp/run").join(name)
    }

    /// Writes a file, with the directories above it, and returns its path.
    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("inside the site"))
            .expect("cannot make a directory");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Writes a file that only its owner may read.
    pub fn write_secret(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(relative, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Reads a file whole.
    pub fn read(&self, relative: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(relative);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Makes `relative` executable.
    pub fn make_executable(&self, relative: impl AsRef<Path>) {
        let path = self.path(relative);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
