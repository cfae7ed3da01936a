//! Where the bytes of attachments are: a folder of this machine, and what else can keep them.
//!
//! A store knows ids, sizes, checksums and URLs that are signed. It knows no rules: who may upload or download what is
//! decided before it is asked.

mod client;
mod external;
mod local;
mod remote;
mod s3;
mod ticket;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

pub use self::external::{External, Template, TemplateError};
pub use self::local::{File, Incoming, Local, LocalError};
pub use self::s3::{Bucket, Credentials, S3};
pub use self::ticket::{Key, KeyError, Right, Ticket, TicketError};
use crate::model::{Attachment, TenantId, UserId};

/// What stands as it is in the value of a query (RFC 3986, section 2.3).
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How much of a file's beginning is looked at to tell what it is: the sizes of images stand within it, as a rule.
pub const HEAD_BYTES: usize = 64 * 1024;

/// Why a store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It has no room left.
    #[error("there is no room for files")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not answer, or says that it cannot now.
    #[error("the store of files is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("the store of files failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// For whom a URL is made, and for how long it is good.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// Who asked for it.
    pub user: &'a UserId,
    /// The time now.
    pub now: DateTime<Utc>,
    /// From when on it is refused.
    pub expires_at: DateTime<Utc>,
}

impl Bearer<'_> {
    /// How long that is from now on.
    fn within(&self) -> Duration {
        let left = self.expires_at.signed_duration_since(self.now);
        left.to_std().unwrap_or_default()
    }
}

/// How the bytes of a file are to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadTarget {
    /// Where to.
    pub url: String,
    /// By which method of HTTP.
    pub method: &'static str,
    /// With which headers, exactly.
    pub headers: Vec<(&'static str, String)>,
}

/// What has come of an announced file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing has.
    Absent,
    /// Something else has: its size or checksum differs.
    Different,
    /// Something of its size has, and if its checksum is known, it is the file's.
    There {
        /// How it begins.
        head: Bytes,
        /// Whether its checksum was compared.
        is_proven: bool,
    },
}

/// A store.
#[derive(Debug)]
pub enum Blobs {
    /// A folder.
    Local(Local),
    /// A bucket of S3.
    S3(S3),
    /// A file service of somebody's own.
    External(External),
}

impl Blobs {
    /// How to upload a file that was announced.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn upload(
        &self,
        file: &Attachment,
        bearer: Bearer<'_>,
    ) -> Result<UploadTarget, BlobError> {
        match self {
            Self::Local(local) => Ok(local.upload(file, bearer)),
            Self::S3(s3) => s3.upload(file, bearer).await,
            Self::External(external) => Ok(external.upload(file, bearer)),
        }
    }

    /// The URL at which whoever has it gets the file.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn download(
        &self,
        file: &Attachment,
        bearer: Bearer<'_>,
    ) -> Result<String, BlobError> {
        match self {
            Self::Local(local) => Ok(local.download(file, bearer)),
            Self::S3(s3) => s3.download(file, bearer).await,
            Self::External(external) => Ok(external.download(file, bearer)),
        }
    }

    /// What has come of an announced file, as far as that can be told without reading all of it.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn arrived(&self, file: &Attachment) -> Result<Arrival, BlobError> {
        match self {
            Self::Local(local) => local.arrived(file).await,
            Self::S3(s3) => remote::arrived(s3, file).await,
            Self::External(external) => remote::arrived(external, file).await,
        }
    }

    /// Whether what has come is the announced file, by reading all of it. `head` are the first bytes that
    /// [`Blobs::arrived`] told of: what was looked at is to be what is there.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn is_same(&self, file: &Attachment, head: &[u8]) -> Result<bool, BlobError> {
        match self {
            // What was other bytes never got its place.
            Self::Local(_) => Ok(true),
            Self::S3(s3) => remote::is_same(s3, file, head).await,
            Self::External(external) => remote::is_same(external, file, head).await,
        }
    }

    /// Removes the bytes of a file, if there are any.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn delete(&self, file: &Attachment) -> Result<(), BlobError> {
        match self {
            Self::Local(local) => local.delete(file.id).await,
            Self::S3(s3) => remote::delete(s3, file).await,
            Self::External(external) => remote::delete(external, file).await,
        }
    }

    /// Removes what uploads left behind that began so long ago that they cannot be under way any more.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn sweep(&self, older_than: Duration) -> Result<(), BlobError> {
        match self {
            Self::Local(local) => local.sweep(older_than).await,
            Self::S3(_) | Self::External(_) => Ok(()),
        }
    }

    /// The folder, where this is one: its bytes go through this server.
    #[must_use]
    pub fn local(&self) -> Option<&Local> {
        match self {
            Self::Local(local) => Some(local),
            Self::S3(_) | Self::External(_) => None,
        }
    }
}
