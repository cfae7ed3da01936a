//! URLs to download from, and the log of who was given them.

use serde_json::json;
use uuid::Uuid;

use crate::app::attachments::Attachments;
use crate::app::{Actor, App, Error};
use crate::blobs::Bearer;
use crate::model::{
    Act, Attachment, AttachmentDownload, AttachmentId, AttachmentStatus, AuditEntry, DownloadPlace,
    ListCursor, ListKey, Page, PageArgs, Slice, fingerprint,
};
use crate::store;
use crate::store::attachment_downloads::Between;

/// The most URLs that are made together: each is signed, and written down.
const URLS_MAX: usize = 1000;

impl App {
    /// For those of the attachments that the actor may see and that are here, a URL to download from, good for a while
    /// for whoever has it. That they were given it is written down first.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for more than 1000; [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn attachment_urls(
        &self,
        actor: &Actor,
        ids: &[AttachmentId],
    ) -> Result<Vec<(AttachmentId, String)>, Error> {
        let Some(Attachments { blobs, rules, .. }) = &self.attachments else {
            return Ok(Vec::new());
        };
        let mut found = self.attachments_by_ids(actor, ids).await?;
        found.retain(|attachment| attachment.status == AttachmentStatus::Ready);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        if found.len() > URLS_MAX {
            let why =
                format!("One answer has at most {URLS_MAX} URLs to download from: ask for less.");
            return Err(Error::BadInput(why));
        }
        let now = self.clock.now();
        let entry = |attachment: &Attachment| AttachmentDownload {
            id: self.ids.entry(),
            tenant_id: actor.tenant.clone(),
            attachment_id: attachment.id,
            user_id: actor.user.clone(),
            occurred_at: now,
        };
        let entries: Vec<AttachmentDownload> = found.iter().map(entry).collect();
        {
            let mut conn = self.connection_for(actor).await?;
            store::attachment_downloads::append(&mut conn, &entries).await?;
        }
        let bearer = Bearer {
            tenant: &actor.tenant,
            user: &actor.user,
            now,
            expires_at: now + rules.download_within,
        };
        let mut urls = Vec::with_capacity(found.len());
        for attachment in &found {
            urls.push((attachment.id, blobs.download(attachment, bearer).await?));
        }
        Ok(urls)
    }

    /// A page of who was given URLs to download attachments of the actor's tenant, the newest first; of one attachment,
    /// or of all. It comes with what is known of the attachments. That it is read is written down before.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for who does not administer the tenant; [`Error::BadInput`] for the arguments;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn attachment_downloads_page(
        &self,
        actor: &Actor,
        of: Option<AttachmentId>,
        args: &PageArgs,
    ) -> Result<Slice<(AttachmentDownload, Option<Attachment>)>, Error> {
        actor.must_administer()?;
        let list = Self::attachment_downloads_key(actor, of);
        let page = Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Download(place)) => Some(place),
            _ => None,
        })?;
        let (tenant, whole) = (&actor.tenant, Between::default());
        let between = Between {
            newer: page.after.unwrap_or(whole.newer),
            older: page.before.unwrap_or(whole.older),
        };
        let mut conn = self.connection_for(actor).await?;
        let reading = AuditEntry {
            data: json!({ "attachment": of }),
            ..actor.entry(Act::DownloadsRead)
        };
        store::audit_entries::append(&mut conn, &[reading]).await?;
        let mut read = async |between, oldest_first, limit| {
            let conn = &mut conn;
            store::attachment_downloads::page(conn, tenant, of, between, oldest_first, limit).await
        };
        let items = read(between, page.from_end, page.read_limit()).await?;
        let before_it = match page.after.map(just_older) {
            None => false,
            Some(older) => !read(Between { older, ..whole }, false, 1).await?.is_empty(),
        };
        let behind_it = match page.before.map(just_newer) {
            None => false,
            Some(newer) => !read(Between { newer, ..whole }, false, 1).await?.is_empty(),
        };
        let mut ids: Vec<AttachmentId> = items.iter().map(|item| item.attachment_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let known = store::attachments::by_ids(&mut conn, tenant, &ids).await?;
        let slice = Slice::new(&page, items, before_it, behind_it);
        Ok(slice.map(|item| {
            let attachment = known.iter().find(|known| known.id == item.attachment_id);
            let attachment = attachment.cloned();
            (item, attachment)
        }))
    }

    /// The list that the cursors of such pages belong to.
    #[must_use]
    pub fn attachment_downloads_key(actor: &Actor, of: Option<AttachmentId>) -> ListKey {
        ListKey::Downloads(fingerprint(&actor.tenant, &actor.user), of)
    }
}

/// The place right behind one, in a list that begins with the newest.
fn just_older(place: DownloadPlace) -> DownloadPlace {
    let id = Uuid::from_u128(place.id.as_u128().saturating_sub(1));
    DownloadPlace { id, ..place }
}

/// The place right in front of one.
fn just_newer(place: DownloadPlace) -> DownloadPlace {
    let id = Uuid::from_u128(place.id.as_u128().saturating_add(1));
    DownloadPlace { id, ..place }
}
