//! The log of downloads, for administrators.

use async_graphql::parser::types::Field;
use async_graphql::{Context, ID, Object, Result, Value};

use super::at_once::{AtOnce, Look};
use super::attachment::Attachment;
use super::connection::{AttachmentDownloadConnection, Listed};
use super::context::ContextExt as _;
use super::error::to_graphql;
use super::scalar::DateTime;
use super::user::User;
use crate::app::App;
use crate::model::{self, AttachmentId, ListCursor, Operation, PageArgs, Slice};

/// Somebody who was given a URL to download an attachment from.
#[derive(Debug, Clone)]
pub(super) struct AttachmentDownload {
    entry: model::AttachmentDownload,
    attachment: Option<model::Attachment>,
}

impl Listed for AttachmentDownload {
    fn place(&self) -> ListCursor {
        ListCursor::Download(self.entry.place())
    }
}

impl AtOnce for AttachmentDownload {
    fn at_once(&self, _: &Field, _: &Look<'_>) -> Option<Value> {
        None
    }
}

/// Somebody who was given a URL to download an attachment from.
#[Object]
impl AttachmentDownload {
    /// The attachment's id.
    async fn attachment_id(&self) -> ID {
        ID(self.entry.attachment_id.to_string())
    }

    /// The attachment. Null where it is not kept any more.
    async fn attachment(&self) -> Option<Attachment> {
        self.attachment.clone().map(Attachment::from)
    }

    /// Who was given the URL.
    async fn user(&self) -> User {
        User::new(self.entry.user_id.clone())
    }

    /// When they were. The URL was good for a few minutes from then on.
    async fn occurred_at(&self) -> DateTime {
        self.entry.occurred_at.into()
    }
}

/// A page of the log, of one attachment or of all.
pub(super) async fn downloads(
    ctx: &Context<'_>,
    of: Option<ID>,
    args: PageArgs,
) -> Result<AttachmentDownloadConnection> {
    let actor = ctx.permit(Operation::ListAttachmentDownloads)?;
    let of = match of.map(|id| id.parse::<AttachmentId>()) {
        None => None,
        Some(Ok(of)) => Some(of),
        Some(Err(_)) => {
            // A malformed id is an id of nothing.
            let key = App::attachment_downloads_key(actor, None);
            return Ok(AttachmentDownloadConnection::new(key, Slice::empty()));
        }
    };
    let key = App::attachment_downloads_key(actor, of);
    let page = ctx.app()?.attachment_downloads_page(actor, of, &args).await;
    let page = page.map_err(to_graphql)?;
    let page = page.map(|(entry, attachment)| AttachmentDownload { entry, attachment });
    Ok(AttachmentDownloadConnection::new(key, page))
}
