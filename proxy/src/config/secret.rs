//! Files that hold a secret: the admin token, the key of room names, the key that replicas share.
//!
//! `check`, start and reload all read them here, so that what was checked is what is used.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::mesh::{KeyError, MeshKey};

/// Largest secret; a bigger file is the wrong file.
const MAX_BYTES: u64 = 4096;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Nothing, or only white space.
    #[error("is empty")]
    Empty,
    /// More than 4 KiB.
    #[error("is larger than 4KiB, which no secret needs")]
    TooLarge,
    /// A token that an HTTP header could not carry.
    #[error("must hold one line of visible ASCII characters without spaces")]
    NotAToken,
    /// A mesh key that could be guessed, or that is written in no known way.
    #[error("{0}")]
    NotAKey(#[from] KeyError),
}

/// The content of a file, without white space at its end (editors add newlines).
///
/// # Errors
/// When it cannot be read, or nothing remains, or it is too large.
pub fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let mut content = read_raw(path)?;
    content.truncate(content.trim_ascii_end().len());
    if content.is_empty() { Err(SecretError::Empty) } else { Ok(content) }
}

/// The key that replicas share, see [`MeshKey::parse`].
///
/// # Errors
/// As [`read`], and [`SecretError::NotAKey`].
pub fn read_mesh_key(path: &Path) -> Result<MeshKey, SecretError> {
    match read_raw(path)?.as_slice() {
        [] => Err(SecretError::Empty),
        content => Ok(MeshKey::parse(content)?),
    }
}

/// The content of a file as it is.
fn read_raw(path: &Path) -> Result<Vec<u8>, SecretError> {
    // Asked before opening: opening a FIFO waits for its writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a file").into());
    }
    let file = File::open(path)?;
    let mut content = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(SecretError::TooLarge);
    }
    Ok(content)
}

/// A bearer token: as [`read`], and one word that an `Authorization` header can carry.
///
/// # Errors
/// As [`read`], and [`SecretError::NotAToken`].
pub fn read_token(path: &Path) -> Result<String, SecretError> {
    let token = String::from_utf8(read(path)?).map_err(|_| SecretError::NotAToken)?;
    if token.chars().all(|c| c.is_ascii_graphic()) { Ok(token) } else { Err(SecretError::NotAToken) }
}

/// Whether every user of the machine may read the file. False where the system has no such notion.
#[must_use]
pub fn is_world_readable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
