//! Attachments: files are announced, uploaded past the API, checked, and then sent by their ids.

mod clearing;
mod downloads;
mod kind;
mod sending;
mod transfer;
mod turns;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection as _;

pub(super) use self::sending::SentWith;
pub use self::transfer::{Download, Received, Refused};
use self::turns::{Latest, OneByOne};
use super::{Actor, App, Error};
use crate::blobs::{Arrival, Bearer, BlobError, Blobs, UploadTarget};
use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, Checksum, ContentType, FileName, Refusal,
};
use crate::store;

/// The most bytes that a file may have at all: the API's numbers go so far.
pub const FILE_SIZE_MAX: u32 = i32::MAX.unsigned_abs();

/// What an installation can set about attachments.
#[derive(Debug, Clone)]
pub struct AttachmentRules {
    /// The most bytes of a file.
    pub size_max: u32,
    /// The media types that are taken: `*/*`, `image/*`, or one.
    pub types: Vec<String>,
    /// The most bytes that one user may keep here; `None` for any number.
    pub quota: Option<u64>,
    /// The most files that one user may have announced and not finished.
    pub unfinished_max: u32,
    /// How long a URL to download from is good.
    pub download_within: Duration,
    /// How long a URL to upload to is good.
    pub upload_within: Duration,
    /// After what time a file is cleared away that was not sent.
    pub unsent_for: Duration,
}

impl Default for AttachmentRules {
    fn default() -> Self {
        Self {
            size_max: 25 * 1024 * 1024,
            types: vec!["*/*".to_owned()],
            quota: Some(5 * 1024 * 1024 * 1024),
            unfinished_max: 100,
            download_within: Duration::from_mins(5),
            upload_within: Duration::from_hours(1),
            unsent_for: Duration::from_hours(24),
        }
    }
}

impl AttachmentRules {
    fn takes(&self, kind: &ContentType) -> bool {
        let kind = kind.as_str();
        self.types.iter().any(|pattern| {
            pattern == "*/*"
                || pattern == kind
                || pattern
                    .strip_suffix('*')
                    .is_some_and(|start| start.ends_with('/') && kind.starts_with(start))
        })
    }
}

/// Where attachments are kept, and the rules for them.
#[derive(Debug)]
pub struct Attachments {
    /// Where.
    pub blobs: Blobs,
    /// The rules.
    pub rules: AttachmentRules,
    uploads: Latest,
    finishing: OneByOne,
}

impl Attachments {
    /// A store and the rules for it.
    #[must_use]
    pub fn new(blobs: Blobs, rules: AttachmentRules) -> Self {
        Self {
            blobs,
            rules,
            uploads: Latest::default(),
            finishing: OneByOne::default(),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full(_) | BlobError::Unavailable(_) => Self::Unavailable(error.into()),
            BlobError::Failed(_) => Self::Internal(error.into()),
        }
    }
}

/// A file to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// What it is called.
    pub name: FileName,
    /// Its media type.
    pub content_type: ContentType,
    /// How many bytes it has.
    pub size: i64,
    /// The SHA-256 of its bytes.
    pub checksum: Checksum,
}

/// An announced file, and how to upload it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file.
    pub attachment: Attachment,
    /// How to upload it.
    pub target: UploadTarget,
    /// From when on that is refused.
    pub expires_at: DateTime<Utc>,
}

fn no_such_attachment() -> Refusal {
    Refusal::not_found("The attachment does not exist, or is not yours.").at("attachmentId")
}

impl App {
    /// Where attachments are kept.
    pub(super) fn attachments(&self) -> Result<&Attachments, Error> {
        self.attachments.as_ref().ok_or(Error::NotConfigured(
            "This server keeps no attachments: nobody has set where to.",
        ))
    }

    /// Announces a file, and says how to upload it.
    ///
    /// # Errors
    ///
    /// `INVALID` for what is not taken here, `TOO_MANY` beyond what one user may keep; [`Error::NotConfigured`],
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn attachment_announce(
        &self,
        actor: &Actor,
        new: NewUpload,
    ) -> Result<Upload, Error> {
        let Attachments { blobs, rules, .. } = self.attachments()?;
        check(rules, &new)?;
        let now = self.clock.now();
        let attachment = Attachment {
            id: self.ids.attachment(),
            tenant_id: actor.tenant.clone(),
            uploader_id: actor.user.clone(),
            name: new.name.as_str().to_owned(),
            content_type: new.content_type.as_str().to_owned(),
            size: new.size,
            checksum: new.checksum,
            status: AttachmentStatus::Pending,
            width: None,
            height: None,
            created_at: now,
            sent_at: None,
        };
        // What can fail elsewhere comes first: nothing is announced that cannot be uploaded.
        let bearer = Bearer {
            tenant: &actor.tenant,
            user: &actor.user,
            now,
            expires_at: now + rules.upload_within,
        };
        let target = blobs.upload(&attachment, bearer).await?;
        let mut conn = self.connection_for(actor).await?;
        conn.transaction(async |conn| {
            let (tenant, user) = (&actor.tenant, &actor.user);
            store::attachments::lock_uploader(conn, tenant, user).await?;
            let kept = store::attachments::kept(conn, tenant, user).await?;
            within_quota(rules, kept, attachment.size)?;
            Ok::<_, Error>(store::attachments::add(conn, &attachment).await?)
        })
        .await?;
        Ok(Upload {
            attachment,
            target,
            expires_at: bearer.expires_at,
        })
    }

    /// Makes sure that an announced file was uploaded as it was announced. Once it was, nothing happens any more.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for what is not the actor's own; `CONFLICT` where nothing was uploaded, or something else, and
    /// `INVALID` where its content is not of its type; [`Error::NotConfigured`], [`Error::Unavailable`],
    /// [`Error::Internal`].
    pub async fn attachment_finalize(
        &self,
        actor: &Actor,
        id: AttachmentId,
    ) -> Result<Attachment, Error> {
        let Attachments {
            blobs, finishing, ..
        } = self.attachments()?;
        let own = async || {
            let mut conn = self.connection_for(actor).await?;
            let own = store::attachments::own(&mut conn, &actor.tenant, &actor.user, id).await?;
            own.ok_or_else(|| Error::from(no_such_attachment()))
        };
        let attachment = own().await?;
        if attachment.status == AttachmentStatus::Ready {
            return Ok(attachment);
        }
        let _turn = finishing.wait(id).await;
        let attachment = own().await?;
        if attachment.status == AttachmentStatus::Ready {
            return Ok(attachment);
        }
        // No connection is held while somebody else is asked.
        let head = uploaded(blobs, &attachment).await?;
        let dimensions = kind::dimensions(&attachment.content_type, &head);
        let finished = {
            let mut conn = self.connection_for(actor).await?;
            store::attachments::finish(&mut conn, &actor.tenant, id, dimensions).await?
        };
        match finished {
            Some(finished) => Ok(finished),
            // Somebody else was quicker.
            None => own().await,
        }
    }
}

/// The first bytes of what was uploaded, once it is sure that it is what was announced.
async fn uploaded(blobs: &Blobs, attachment: &Attachment) -> Result<Bytes, Error> {
    let different =
        || conflict("What was uploaded has another size or checksum than was announced.");
    let (head, is_proven) = match blobs.arrived(attachment).await? {
        Arrival::There { head, is_proven } => (head, is_proven),
        Arrival::Absent => return Err(conflict("Nothing was uploaded yet.")),
        Arrival::Different => return Err(different()),
    };
    if !kind::agrees(&attachment.content_type, &head) {
        let why = format!("The file's content is not {}.", attachment.content_type);
        return Err(Refusal::invalid(why).at("attachmentId").into());
    }
    // All of it is read only where it may still be it.
    if !is_proven && !blobs.is_same(attachment, &head).await? {
        return Err(different());
    }
    Ok(head)
}

fn conflict(why: &str) -> Error {
    Refusal::conflict(why).at("attachmentId").into()
}

/// Refuses what is not taken here.
fn check(rules: &AttachmentRules, new: &NewUpload) -> Result<(), Refusal> {
    if !(1..=i64::from(rules.size_max)).contains(&new.size) {
        let why = format!("A file has 1 to {} bytes here.", rules.size_max);
        return Err(Refusal::invalid(why).at("size"));
    }
    if !rules.takes(&new.content_type) {
        let kind = new.content_type.as_str();
        let why = format!("Files of type {kind} are not taken here.");
        return Err(Refusal::invalid(why).at("contentType"));
    }
    Ok(())
}

/// Refuses what is more than one user may keep.
fn within_quota(
    rules: &AttachmentRules,
    (bytes, unfinished): (i64, i64),
    size: i64,
) -> Result<(), Refusal> {
    if unfinished >= i64::from(rules.unfinished_max) {
        let why = format!(
            "You have {unfinished} uploads that are not finished: finish them first, or wait until they are forgotten."
        );
        return Err(Refusal::too_many(why));
    }
    let quota = rules.quota.and_then(|quota| i64::try_from(quota).ok());
    if quota.is_some_and(|quota| bytes.saturating_add(size) > quota) {
        let why = "With this file you would have more bytes here than one user may.";
        return Err(Refusal::too_many(why).at("size"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_taken_by_name_and_by_kind() {
        let takes = |patterns: &[&str], kind: &str| {
            let rules = AttachmentRules {
                types: patterns.iter().map(|&one| one.to_owned()).collect(),
                ..AttachmentRules::default()
            };
            rules.takes(&ContentType::new(kind).unwrap())
        };
        assert!(takes(&["*/*"], "image/png"));
        assert!(takes(&["text/plain", "image/*"], "image/png"));
        assert!(takes(&["image/png"], "image/png"));
        assert!(!takes(&["image/png"], "image/pngx"));
        assert!(!takes(&["image/*"], "imagex/png"));
        assert!(!takes(&["image*"], "image/png"));
        assert!(!takes(&[], "image/png"));
    }

    #[test]
    fn a_quota_counts_what_is_there_and_what_comes() {
        let rules = AttachmentRules {
            quota: Some(100),
            unfinished_max: 2,
            ..AttachmentRules::default()
        };
        assert!(within_quota(&rules, (60, 1), 40).is_ok());
        assert!(within_quota(&rules, (60, 1), 41).is_err());
        assert!(within_quota(&rules, (0, 2), 1).is_err());
        let none = AttachmentRules {
            quota: None,
            ..rules
        };
        assert!(within_quota(&none, (i64::MAX, 0), i64::MAX).is_ok());
    }
}
