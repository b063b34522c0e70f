//! The snapshot as a file: replaced atomically, set aside when damaged.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use router_core::time::Timestamp;

use super::format::{Decoder, FormatError, Header, Sealing, max_len};

const BUFFER: usize = 64 * 1024;

/// A snapshot written beside the old one, not yet in its place.
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Writes the chunks and their checksum to `<path>.tmp` and on to the disk. A leftover of that name, from a process
    /// killed while writing, is overwritten; two processes must not share a path.
    pub(super) fn write(path: &Path, chunks: impl IntoIterator<Item = Vec<u8>>) -> io::Result<(Self, u64)> {
        let staged = Self { temporary: with_suffix(path, "tmp"), path: path.into() };
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged.temporary)?;
        match write_and_sync(file, chunks) {
            Ok(bytes) => Ok((staged, bytes)),
            Err(error) => {
                staged.abandon();
                Err(error)
            }
        }
    }

    /// Removes it: the disk may be full, so what this attempt took is given back.
    pub(super) fn abandon(self) {
        drop(fs::remove_file(&self.temporary));
    }

    /// Puts it in the old one's place: whoever opens the path sees one of the two, whole.
    pub(super) fn commit(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        sync_directory(&self.path)
    }
}

fn write_and_sync(file: File, chunks: impl IntoIterator<Item = Vec<u8>>) -> io::Result<u64> {
    let mut to = Sealing::new(BufWriter::with_capacity(BUFFER, file));
    for chunk in chunks {
        to.write_all(&chunk)?;
    }
    let (mut writer, bytes) = to.seal()?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    Ok(bytes)
}

/// Makes a rename in the file's directory survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Why the file on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A directory, a pipe or the like. It is left where it is.
    #[error("it is not a regular file")]
    NotAFile,
    /// Larger than the pins that may be in it.
    #[error("it has {0} bytes, more than any snapshot can have")]
    TooLarge(u64),
    /// Its keys were made with another `rooms.key_file`, so no request would find its pins.
    #[error("its rooms were hashed with another key (rooms.key_file)")]
    ForeignKey,
    /// Damaged, or not a snapshot.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Format(error.into())
    }
}

/// A snapshot whose every byte has been checked.
pub(super) struct Verified {
    file: File,
    pub(super) written_at: Timestamp,
    pub(super) pins: u64,
}

/// Opens and checks the file; `None` if there is none.
///
/// It is read twice, once to check and once for its pins, rather than kept in memory: a million pins are 41 MB here
/// and more as values.
pub(super) fn verify(path: &Path, fingerprint: u64, max_pins: usize) -> Result<Option<Verified>, LoadError> {
    // Asked before opening, because opening a pipe would wait for a writer.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(metadata) if !metadata.is_file() => return Err(LoadError::NotAFile),
        Ok(_) => {}
    }
    let file = File::open(path)?;
    let (len, bound) = (file.metadata()?.len(), max_len(max_pins));
    if len > bound {
        return Err(LoadError::TooLarge(len));
    }
    let (header, pins) = check(&file, bound)?;
    // Last, so that a damaged fingerprint is called damaged.
    if header.fingerprint != fingerprint {
        return Err(LoadError::ForeignKey);
    }
    Ok(Some(Verified { file, written_at: header.written_at, pins }))
}

fn check(file: &File, bound: u64) -> Result<(Header, u64), FormatError> {
    let mut decoder = Decoder::new(reader(file, bound))?;
    let mut pins = 0;
    for record in &mut decoder {
        record?;
        pins += 1;
    }
    Ok((decoder.header(), pins))
}

impl Verified {
    /// The pins, read again from the same open file.
    pub(super) fn pins(&mut self) -> Result<Decoder<impl Read>, FormatError> {
        self.file.seek(SeekFrom::Start(0))?;
        Decoder::new(reader(&self.file, u64::MAX))
    }
}

fn reader(file: &File, bound: u64) -> impl Read {
    BufReader::with_capacity(BUFFER, file).take(bound)
}

/// Moves a file that cannot be used out of the way, to `<path>.damaged-<milliseconds>`, for a human to look at.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    // A rename would replace an earlier one silently.
    let candidates = (0_u64..100).map(|n| with_suffix(path, &format!("damaged-{}", now.0.saturating_add(n))));
    let aside = candidates
        .into_iter()
        .find(|aside| !aside.exists())
        .ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    fs::rename(path, &aside)?;
    Ok(aside)
}
