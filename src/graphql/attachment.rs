//! Attachments: the type, and the mutations by which files are announced and finished.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};

use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::payload::outcome;
use super::scalar::DateTime;
use super::user::User;
use crate::app::{Error, NewUpload};
use crate::blobs::UploadTarget;
use crate::model::{self, AttachmentId, Checksum, ContentType, FileName, Operation, Refusal};

/// How far an attachment has come.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
enum AttachmentStatus {
    /// It is announced: its bytes are to be uploaded, and then `finalizeUpload` called.
    Pending,
    /// It was uploaded as it was announced, and can be sent and downloaded.
    Ready,
}

/// A file that somebody has uploaded, or is about to.
#[derive(Debug, Clone)]
pub(super) struct Attachment(model::Attachment);

impl From<model::Attachment> for Attachment {
    fn from(attachment: model::Attachment) -> Self {
        Self(attachment)
    }
}

/// A file of somebody's, sent with messages. Its bytes are never part of an answer: they are downloaded from `downloadUrl`.
#[Object]
impl Attachment {
    /// The attachment's id.
    pub(super) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// What the file is called. It is for people: what saves a file under it makes sure that it may.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The media type, such as `image/png`, in lower case and without parameters.
    async fn content_type(&self) -> &str {
        &self.0.content_type
    }

    /// How many bytes the file has.
    async fn size(&self) -> i64 {
        self.0.size
    }

    /// The SHA-256 of the file's bytes, as 64 hexadecimal digits in lower case.
    async fn checksum(&self) -> String {
        self.0.checksum.to_string()
    }

    /// The width of an image in pixels. Null for what is no PNG, JPEG, GIF or WebP, until the attachment is ready, and
    /// where the file does not say it near its beginning.
    async fn width(&self) -> Option<i32> {
        self.0.width
    }

    /// The height of an image in pixels. Null where `width` is.
    async fn height(&self) -> Option<i32> {
        self.0.height
    }

    /// How far it has come. What is sent is ready.
    async fn status(&self) -> AttachmentStatus {
        match self.0.status {
            model::AttachmentStatus::Ready => AttachmentStatus::Ready,
            model::AttachmentStatus::Pending | model::AttachmentStatus::Removed => {
                AttachmentStatus::Pending
            }
        }
    }

    /// When it was announced.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// Who uploaded it. It is nullable because it crosses to another record; every attachment has one.
    async fn uploader(&self) -> Option<User> {
        Some(User::new(self.0.uploader_id.clone()))
    }

    /// A URL from which whoever has it downloads the file for a few minutes, as an attachment under its name. Each request
    /// for it is written down for the administrators of the tenant. Null until the attachment is ready, and where
    /// the viewer may not see it, or not any more.
    async fn download_url(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        Box::pin(nullable(async {
            ctx.loaders()?.download_url(self.0.id).await
        }))
        .await
    }
}

/// A header of an upload.
#[derive(Debug, SimpleObject)]
struct UploadHeader {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// How to upload the bytes of an attachment: one request of HTTP, with the bytes as its body and nothing around them.
#[derive(Debug, SimpleObject)]
struct Upload {
    /// Where to. Whoever has the URL may upload these bytes, so it is for the uploader alone.
    url: String,
    /// The method.
    method: String,
    /// The headers to send, exactly as they are, beside `Content-Length`.
    headers: Vec<UploadHeader>,
    /// From when on it is refused.
    expires_at: DateTime,
}

impl Upload {
    fn new(target: UploadTarget, expires_at: DateTime) -> Self {
        let header = |(name, value): (&str, String)| UploadHeader {
            name: name.to_owned(),
            value,
        };
        Self {
            url: target.url,
            method: target.method.to_owned(),
            headers: target.headers.into_iter().map(header).collect(),
            expires_at,
        }
    }
}

/// Which file to upload.
#[derive(Debug, InputObject)]
struct CreateUploadInput {
    /// What it is called: 1 to 255 characters without slashes and control characters.
    name: String,
    /// The media type, without parameters, such as `image/png`.
    content_type: String,
    /// How many bytes it has: at least 1.
    size: i32,
    /// The SHA-256 of its bytes, as 64 hexadecimal digits.
    checksum: String,
}

/// What came of announcing a file.
#[derive(Debug, SimpleObject)]
struct CreateUploadPayload {
    /// The attachment that it becomes. Null where `userErrors` says why.
    attachment: Option<Result<Attachment>>,
    /// How to upload its bytes. Null where `userErrors` says why.
    upload: Option<Upload>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// Which upload is done.
#[derive(Debug, InputObject)]
struct FinalizeUploadInput {
    /// The attachment, one of the viewer's own.
    attachment_id: ID,
}

/// What came of finishing an upload.
#[derive(Debug, SimpleObject)]
struct FinalizeUploadPayload {
    /// The attachment as it is now. Null where `userErrors` says why.
    attachment: Option<Result<Attachment>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutations of attachments.
#[derive(Debug, Default)]
pub(super) struct AttachmentMutation;

#[Object]
impl AttachmentMutation {
    /// Announces a file, and says how to upload its bytes. Then `finalizeUpload` makes it ready to be sent. What is not
    /// sent is forgotten after a time. `NOT_CONFIGURED` where the installation keeps no attachments.
    async fn create_upload(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which file to upload.")] input: CreateUploadInput,
    ) -> Option<Result<CreateUploadPayload>> {
        Box::pin(nullable(async {
            let (app, actor) = ctx.fresh(Operation::CreateUpload)?;
            let announce = async {
                let new = new_upload(&input)?;
                app.attachment_announce(actor, new).await
            };
            let (announced, user_errors) = outcome(announce.await)?;
            let (attachment, upload) = announced
                .map(|announced| {
                    let upload = Upload::new(announced.target, announced.expires_at.into());
                    (announced.attachment, upload)
                })
                .unzip();
            Ok(Some(CreateUploadPayload {
                attachment: ctx.shown(Operation::Attachment, attachment.map(Attachment)),
                upload,
                user_errors,
            }))
        }))
        .await
    }

    /// Makes sure that a file was uploaded as it was announced, in size, checksum and type. Once it was, calling this again
    /// changes nothing, and neither does uploading it.
    async fn finalize_upload(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which upload is done.")] input: FinalizeUploadInput,
    ) -> Option<Result<FinalizeUploadPayload>> {
        Box::pin(nullable(async {
            let (app, actor) = ctx.fresh(Operation::FinalizeUpload)?;
            let finalize = async {
                let id = attachment_id(&input.attachment_id)?;
                app.attachment_finalize(actor, id).await
            };
            let (attachment, user_errors) = outcome(finalize.await)?;
            Ok(Some(FinalizeUploadPayload {
                attachment: ctx.shown(Operation::Attachment, attachment.map(Attachment)),
                user_errors,
            }))
        }))
        .await
    }
}

/// Reads an attachment's id from `input.attachmentId`. A malformed id is an id of nothing.
fn attachment_id(id: &ID) -> Result<AttachmentId, Refusal> {
    let missing = || Refusal::not_found("The attachment does not exist, or is not yours.");
    id.parse().ok().ok_or_else(|| missing().at("attachmentId"))
}

fn new_upload(input: &CreateUploadInput) -> Result<NewUpload, Error> {
    let name = FileName::new(&input.name).map_err(|refusal| refusal.at("name"))?;
    let content_type = ContentType::new(&input.content_type);
    let checksum = Checksum::parse(&input.checksum);
    Ok(NewUpload {
        name,
        content_type: content_type.map_err(|refusal| refusal.at("contentType"))?,
        size: input.size.into(),
        checksum: checksum.map_err(|refusal| refusal.at("checksum"))?,
    })
}
