//! A folder of files. Several servers may share one.
//!
//! What comes is written aside, and takes its place under its id only once it is whole, is what was announced, and is on
//! the disk for good. So nobody sees a part of a file, and what has its place is never changed.

use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, Take};

use super::{Arrival, Bearer, BlobError, HEAD_BYTES, Key, Right, Ticket, UploadTarget};
use crate::model::{Attachment, AttachmentId};

/// The folder in it of what is still coming.
const INCOMING: &str = "incoming";

/// How many files of what was left behind are looked at in one go.
const LEFT_MAX: usize = 1000;

/// A folder of files, and the address under which this server gives them out.
#[derive(Debug)]
pub struct Local {
    folder: PathBuf,
    address: String,
    key: Key,
}

/// Why bytes are not taken.
#[derive(Debug, thiserror::Error)]
pub enum LocalError<E> {
    /// The sender broke off.
    #[error("the sender broke off")]
    Sender(E),
    /// It was something else: more or fewer bytes, or others.
    #[error("these are other bytes than were announced")]
    Different,
    /// The folder cannot be written to.
    #[error(transparent)]
    Store(BlobError),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        let is_full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        );
        if is_full {
            Self::Full(error.into())
        } else {
            Self::Failed(error.into())
        }
    }
}

/// A file that is being written aside. Dropped, it is gone.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // It is not there any more once it has its place.
        std::fs::remove_file(&self.0).ok();
    }
}

/// A file that is here whole, and has not its place yet. Dropped, it is gone.
pub struct Incoming<'a> {
    local: &'a Local,
    aside: Aside,
    id: AttachmentId,
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.id).finish()
    }
}

impl Incoming<'_> {
    /// Gives the file its place, for good.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn place(self) -> Result<(), BlobError> {
        let place = self.local.place(self.id);
        let folder = place.parent().unwrap_or(&self.local.folder);
        match fs::create_dir(folder).await {
            Ok(()) => sync_folder(&self.local.folder).await?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        fs::rename(&self.aside.0, &place).await?;
        sync_folder(folder).await?;
        Ok(())
    }
}

/// An open file, or a part of it.
#[derive(Debug)]
pub struct File {
    /// Its bytes.
    pub bytes: Take<fs::File>,
}

impl Local {
    /// A folder, which is made if there is none, and the address of this server: what its URLs begin with.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made or written to.
    pub fn open(folder: PathBuf, address: &str, key: Key) -> io::Result<Self> {
        let incoming = folder.join(INCOMING);
        // What is made here is nobody else's to read on this machine.
        let mut maker = std::fs::DirBuilder::new();
        maker.recursive(true).mode(0o700).create(&incoming)?;
        // Whoever starts the server is to hear of it, and not the first who uploads.
        let probe = Aside(incoming.join(format!("probe.{:016x}", fastrand::u64(..))));
        std::fs::File::create_new(&probe.0)?;
        Ok(Self {
            folder,
            address: address.trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// What signs its URLs.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where a file has its place. It is made of the id's digits alone. The last two vary most in ids that were made one
    /// after the other.
    fn place(&self, id: AttachmentId) -> PathBuf {
        let digits = id.0.simple().to_string();
        let last: String = digits.chars().skip(30).collect();
        self.folder.join(last).join(digits)
    }

    fn url(&self, id: AttachmentId, ticket: &Ticket) -> String {
        let (address, ticket) = (&self.address, ticket.sign(&self.key));
        format!("{address}/attachments/{id}?ticket={ticket}")
    }

    pub(super) fn upload(&self, file: &Attachment, bearer: Bearer<'_>) -> UploadTarget {
        let right = Right::Upload {
            size: file.size,
            content_type: file.content_type.clone(),
        };
        let who = (bearer.tenant, bearer.user);
        let ticket = Ticket::new(right, file.id, who, bearer.expires_at);
        UploadTarget {
            url: self.url(file.id, &ticket),
            method: "PUT",
            headers: vec![("Content-Type", file.content_type.clone())],
        }
    }

    pub(super) fn download(&self, file: &Attachment, bearer: Bearer<'_>) -> String {
        let who = (bearer.tenant, bearer.user);
        let ticket = Ticket::new(Right::Download, file.id, who, bearer.expires_at);
        self.url(file.id, &ticket)
    }

    pub(super) async fn arrived(&self, file: &Attachment) -> Result<Arrival, BlobError> {
        let open = match fs::File::open(self.place(file.id)).await {
            Ok(open) => open,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arrival::Absent),
            Err(error) => return Err(error.into()),
        };
        // Its checksum was compared before it had its place, and it is not changed there. Of its size the disk says so.
        let size = open.metadata().await?.len();
        if i64::try_from(size) != Ok(file.size) {
            return Ok(Arrival::Different);
        }
        let mut head = Vec::new();
        let most = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
        open.take(most).read_to_end(&mut head).await?;
        Ok(Arrival::There {
            head: head.into(),
            is_proven: true,
        })
    }

    /// Takes the bytes of an announced file, piece by piece, and makes sure that they are those.
    ///
    /// # Errors
    ///
    /// [`LocalError`]. Nothing is left then.
    pub async fn receive<E>(
        &self,
        file: &Attachment,
        mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Incoming<'_>, LocalError<E>> {
        let failed = |error: io::Error| LocalError::Store(error.into());
        let name = format!("{}.{:016x}", file.id.0.simple(), fastrand::u64(..));
        let aside = Aside(self.folder.join(INCOMING).join(name));
        let mut to = fs::File::create_new(&aside.0).await.map_err(failed)?;
        let mut left = u64::try_from(file.size).unwrap_or_default();
        let mut sum = Sha256::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(LocalError::Sender)?;
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            left = left.checked_sub(length).ok_or(LocalError::Different)?;
            sum.update(&piece);
            to.write_all(&piece).await.map_err(failed)?;
        }
        if left > 0 || sum.finalize().as_slice() != file.checksum.as_bytes() {
            return Err(LocalError::Different);
        }
        // It is acknowledged by what follows, so it has to survive whatever comes.
        to.flush().await.map_err(failed)?;
        to.sync_all().await.map_err(failed)?;
        Ok(Incoming {
            local: self,
            aside,
            id: file.id,
        })
    }

    /// Opens a file, or a part of it; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn read(
        &self,
        id: AttachmentId,
        part: RangeInclusive<u64>,
    ) -> Result<Option<File>, BlobError> {
        let mut open = match fs::File::open(self.place(id)).await {
            Ok(open) => open,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (from, to) = part.into_inner();
        if from > 0 {
            open.seek(io::SeekFrom::Start(from)).await?;
        }
        let length = to.saturating_sub(from).saturating_add(1);
        let bytes = open.take(length);
        Ok(Some(File { bytes }))
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn delete(&self, id: AttachmentId) -> Result<(), BlobError> {
        match fs::remove_file(self.place(id)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes what servers that ended suddenly left behind of what was coming.
    pub(super) async fn sweep(&self, older_than: Duration) -> Result<(), BlobError> {
        let mut left = fs::read_dir(self.folder.join(INCOMING)).await?;
        for _ in 0..LEFT_MAX {
            let Some(entry) = left.next_entry().await? else {
                break;
            };
            let changed = entry.metadata().await.and_then(|about| about.modified());
            let age = changed.map(|changed| SystemTime::now().duration_since(changed));
            if age.is_ok_and(|age| age.is_ok_and(|age| age > older_than)) {
                fs::remove_file(entry.path()).await.ok();
            }
        }
        Ok(())
    }
}

/// Has a folder's entries on the disk for good.
async fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder).await?.sync_all().await
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_disk_without_room_is_told_from_one_that_fails() {
        for (kind, is_full) in [
            (ErrorKind::StorageFull, true),
            (ErrorKind::QuotaExceeded, true),
            (ErrorKind::PermissionDenied, false),
            (ErrorKind::NotFound, false),
        ] {
            let error = BlobError::from(io::Error::from(kind));
            assert_eq!(matches!(error, BlobError::Full(_)), is_full, "{kind}");
        }
    }

    #[test]
    fn a_folder_that_is_made_is_ones_own_and_one_that_cannot_be_written_is_no_start() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let open = |path: &Path| {
            let key = Key::new("x".repeat(32).into()).unwrap();
            Local::open(path.to_owned(), "http://h", key)
        };
        let made = folder.path().join("made/here");
        open(&made).unwrap();
        let about = std::fs::metadata(&made).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o700);
        let left = std::fs::read_dir(made.join(INCOMING)).unwrap();
        assert_eq!(left.count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert!(open(&file).is_err());
    }

    #[test]
    fn a_place_is_made_of_digits() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new("x".repeat(32).into()).unwrap();
        let local = Local::open(folder.path().to_owned(), "http://h/", key).unwrap();
        let id = AttachmentId(Uuid::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881));
        let place = local.place(id);
        let place = place.strip_prefix(folder.path()).unwrap();
        assert_eq!(place, Path::new("81/0188bac74afa78aabc3bbd1eef28d881"));
    }
}
