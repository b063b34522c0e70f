//! Fields that name files: what can be said about them before they are used.

use std::path::{Path, PathBuf};

use super::{
    secret::{self, SecretError},
    section::{Field, Section},
};

/// Shorter secrets can be guessed.
const MIN_SECRET_BYTES: usize = 16;

impl Section<'_> {
    /// A file with a secret that `read` accepts.
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        read: impl Fn(&Path) -> Result<usize, SecretError>,
    ) -> Option<PathBuf> {
        self.optional(name, |field| {
            let path = field.file()?;
            let len = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            warn_about(field, &path, len);
            Ok(path)
        })
    }

    /// A file to be written; its folder must be there.
    pub(super) fn output(&mut self, name: &'static str) -> Option<PathBuf> {
        self.require(name, |field| {
            let path = field.file()?;
            if path.is_dir() {
                return Err(format!("{} is a folder, not a file", path.display()));
            }
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                field.warn(format!("the folder {} does not exist; nothing can be saved there", folder.display()));
            }
            Ok(path)
        })
    }
}

fn warn_about(field: &Field<'_>, path: &Path, len: usize) {
    if secret::is_world_readable(path) {
        field.warn(format!("{} can be read by every user of this machine; chmod o-r helps", path.display()));
    }
    if len < MIN_SECRET_BYTES {
        field.warn(format!("{} holds only {len} bytes; {MIN_SECRET_BYTES} or more are hard to guess", path.display()));
    }
}
