//! A batch of messages of one channel, written in one transaction.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection as _;

use super::place::Place;
use super::{ImportError, ImportPlan};
use crate::model::{
    Draft, ImportReport, MessageId, Reason, SourceItem, SourceMessage, TenantId, UserId, draft,
    imported_id, imported_time,
};
use crate::store::imports::ImportedMessage;
use crate::store::{self, Connection};

/// Places in the log, by message.
type Seqs = HashMap<MessageId, i64>;

/// Writes what is new of a batch; or says why nothing more can be written into the chat.
pub(super) async fn write(
    target: &mut Connection,
    plan: &ImportPlan,
    place: &mut Place,
    items: Vec<SourceItem>,
    report: &mut ImportReport,
    now: DateTime<Utc>,
) -> Result<Result<(), Reason>, ImportError> {
    let mut batch = Batch {
        plan,
        place,
        report,
        now,
        seqs: Seqs::new(),
    };
    if plan.dry_run {
        batch.try_out(target, &items).await?;
        return Ok(Ok(()));
    }
    // What fails here ends the import: what was counted of it is not reported.
    let written = target
        .transaction(async |conn| batch.write(conn, &items).await)
        .await;
    match written {
        Ok(written) => Ok(written),
        // Nothing of it can be here: the chat is not made, and the pair not claimed.
        Err(diesel::result::Error::RollbackTransaction) => Ok(Ok(())),
        Err(error) => Err(error.into()),
    }
}

/// Moves read marks to where people have read, once all of a chat is here. What was sent here in between, and they have not
/// read, stays unread with what follows it.
pub(super) async fn finish(
    target: &mut Connection,
    place: &mut Place,
    report: &mut ImportReport,
) -> Result<(), ImportError> {
    let marks: Vec<(UserId, i64)> = place.marks.drain().collect();
    if marks.is_empty() {
        return Ok(());
    }
    let between = between(&mut place.imported);
    let (tenant, chat_id) = (&place.tenant, place.chat_id);
    let moved = target
        .transaction(async |conn| {
            store::chats::lock_any(conn, tenant, chat_id).await?;
            store::imports::mark_read(conn, (tenant, chat_id), &marks, &between).await
        })
        .await;
    let moved = moved.map_err(ImportError::Target)?;
    report.marks += u64::try_from(moved).unwrap_or_default();
    Ok(())
}

/// What lies between stretches of the log, and before them.
fn between(stretches: &mut [RangeInclusive<i64>]) -> Vec<(i64, i64)> {
    stretches.sort_unstable_by_key(|it| *it.start());
    let mut between = Vec::new();
    let mut next = 1;
    for stretch in stretches {
        if next < *stretch.start() {
            between.push((next, stretch.start() - 1));
        }
        next = next.max(stretch.end() + 1);
    }
    between
}

struct Batch<'a> {
    plan: &'a ImportPlan,
    place: &'a mut Place,
    report: &'a mut ImportReport,
    now: DateTime<Utc>,
    seqs: Seqs,
}

/// A message that is to be written.
struct New<'i> {
    item: &'i SourceItem,
    draft: Draft,
    sender: UserId,
}

fn id(message: &SourceMessage) -> MessageId {
    MessageId(imported_id("message", &message.id))
}

impl Batch<'_> {
    async fn write(
        &mut self,
        conn: &mut Connection,
        items: &[SourceItem],
    ) -> diesel::QueryResult<Result<(), Reason>> {
        if let Err(reason) = self.place.hold(conn, self.plan, self.report).await? {
            return Ok(Err(reason));
        }
        let (tenant, chat_id) = (self.place.tenant.clone(), self.place.chat_id);
        let drafts = self.sort(conn, items).await?;
        if let Some(at) = drafts.first().map(|new| new.draft.created_at) {
            self.place.prepare(conn, self.report, at).await?;
        } else if self.place.is_made {
            self.place.prepare(conn, self.report, self.now).await?;
        } else {
            return Err(diesel::result::Error::RollbackTransaction);
        }
        let chat = store::imports::chat(conn, chat_id).await?;
        let chat = chat.ok_or(diesel::result::Error::NotFound)?;
        let (mut seq, mut at) = (chat.last_seq, chat.last_activity_at);
        let mut rows = Vec::with_capacity(drafts.len());
        for new in drafts {
            seq += 1;
            rows.push(self.row(&tenant, new, (seq, &mut at)));
        }
        self.store(conn, &rows, at).await?;
        self.receive(conn, items).await?;
        Ok(Ok(()))
    }

    /// Writes the rows, and counts them in the chat's row.
    async fn store(
        &mut self,
        conn: &mut Connection,
        rows: &[ImportedMessage<'_>],
        at: DateTime<Utc>,
    ) -> diesel::QueryResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let (tenant, chat_id) = (&self.place.tenant, self.place.chat_id);
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        store::chats::take_seqs(conn, tenant, chat_id, count, false).await?;
        store::imports::set_active(conn, tenant, chat_id, at).await?;
        let deleters = rows.iter().filter_map(|row| row.deleted_by.clone());
        let deleters: Vec<UserId> = deleters.collect();
        store::users::ensure(conn, tenant, &deleters, at).await?;
        store::imports::insert_messages(conn, rows).await?;
        self.report.messages_written += u64::try_from(rows.len()).unwrap_or_default();
        Ok(())
    }

    /// Notes how far people have read, and writes what they starred.
    async fn receive(
        &mut self,
        conn: &mut Connection,
        items: &[SourceItem],
    ) -> diesel::QueryResult<()> {
        let stars = self.received(items);
        let (tenant, chat_id) = (&self.place.tenant, self.place.chat_id);
        let starred = store::imports::star(conn, tenant, chat_id, &stars).await?;
        self.report.stars += u64::try_from(starred).unwrap_or_default();
        Ok(())
    }

    /// Does all but write.
    async fn try_out(
        &mut self,
        target: &mut Connection,
        items: &[SourceItem],
    ) -> diesel::QueryResult<()> {
        let drafts = self.sort(target, items).await?;
        if drafts.is_empty() && !self.place.is_made {
            return Ok(());
        }
        self.place.prepare_dry(target, self.report).await?;
        let (mut seq, mut at) = self.place.dry;
        let tenant = self.place.tenant.clone();
        self.report.messages_written += u64::try_from(drafts.len()).unwrap_or_default();
        for new in drafts {
            seq += 1;
            self.row(&tenant, new, (seq, &mut at));
        }
        self.place.dry = (seq, at);
        // How many are there already is not known without asking for each.
        let stars = self.received(items);
        self.report.stars += u64::try_from(stars.len()).unwrap_or_default();
        Ok(())
    }

    /// Tells what is new from what is there, and from what cannot be here.
    async fn sort<'i>(
        &mut self,
        conn: &mut Connection,
        items: &'i [SourceItem],
    ) -> diesel::QueryResult<Vec<New<'i>>> {
        let parents = items.iter().filter_map(|item| item.message.parent.as_ref());
        let parents = parents.map(|parent| MessageId(imported_id("message", parent)));
        let ids: Vec<MessageId> = items
            .iter()
            .map(|item| id(&item.message))
            .chain(parents)
            .collect();
        let rows = store::imports::present(conn, &self.place.tenant, &ids).await?;
        let mut elsewhere = HashSet::new();
        let mut live = HashMap::new();
        for (id, chat, seq, deleted) in rows {
            if chat == self.place.chat_id {
                self.seqs.insert(id, seq);
                live.insert(id, !deleted);
            } else {
                elsewhere.insert(id);
            }
        }
        let mut drafts = Vec::new();
        for item in items {
            let message = &item.message;
            let id = id(message);
            let drafted = draft(item, self.now, self.report);
            if let Some(live) = live.get(&id) {
                self.report.messages_known += 1;
                if message.deleted && *live {
                    self.report.count(Reason::DeletedSince, &message.id);
                }
                self.parent(message, i64::MAX);
                continue;
            }
            let new = drafted.and_then(|draft| self.new_of(item, draft));
            let taken = elsewhere.contains(&id).then_some(Reason::IdTaken);
            let new = new.and_then(|new| taken.map_or(Ok(new), Err));
            match new {
                Ok(new) => drafts.push(new),
                Err(reason) => {
                    self.report.count(reason, &message.id);
                    self.report.messages_skipped += 1;
                    self.place.skipped.insert(message.id.clone());
                }
            }
        }
        Ok(drafts)
    }

    fn new_of<'i>(&self, item: &'i SourceItem, draft: Draft) -> Result<New<'i>, Reason> {
        let sender = self.place.user(self.plan, &draft.author);
        let sender = sender.ok_or(Reason::UserId)?;
        Ok(New {
            item,
            draft,
            sender,
        })
    }

    /// The row of a message at a place of the log, not older than the one before it.
    fn row<'t>(
        &mut self,
        tenant: &'t TenantId,
        New {
            item,
            mut draft,
            sender,
        }: New<'_>,
        (seq, at): (i64, &mut DateTime<Utc>),
    ) -> ImportedMessage<'t> {
        let message = &item.message;
        if draft.created_at < *at {
            self.report.count(Reason::OutOfOrder, &message.id);
            draft.note_time(message.created_on);
        }
        *at = draft.created_at.max(*at);
        let reply_to_seq = self.parent(message, seq);
        if let (Some(parent), None) = (&message.parent, reply_to_seq) {
            draft.note_parent(parent);
        }
        self.seqs.insert(draft.id, seq);
        let metadata = draft.metadata(self.report);
        let deleted = draft.deleted.map(|(deleted_at, by)| {
            let by = self.place.user(self.plan, &by);
            let by = by.unwrap_or_else(|| sender.clone());
            (deleted_at.max(*at), by)
        });
        let (deleted_at, deleted_by) = deleted.unzip();
        ImportedMessage {
            chat_id: self.place.chat_id,
            seq,
            id: draft.id,
            tenant_id: tenant,
            sender_id: sender,
            body: draft.body,
            reply_to_seq,
            created_at: *at,
            deleted_at,
            deleted_by,
            subject: draft.subject,
            metadata,
        }
    }

    /// The place of the message that one answers, if it can answer it.
    fn parent(&mut self, message: &SourceMessage, seq: i64) -> Option<i64> {
        let parent = message.parent.as_ref()?;
        let reason = match &message.parent_key {
            None => Reason::ParentMissing,
            Some(key) if *key != message.key => Reason::ParentElsewhere,
            Some(_) if !message.parent_before => Reason::ParentLater,
            Some(_) if self.place.skipped.contains(parent) => Reason::ParentMissing,
            Some(_) => {
                let id = MessageId(imported_id("message", parent));
                match self.seqs.get(&id) {
                    Some(place) if *place < seq => return Some(*place),
                    // It came to stand behind, since it is new and this one is not.
                    Some(_) => Reason::ParentLater,
                    // It is in an earlier batch, which was not written.
                    None if self.plan.dry_run => return Some(seq - 1),
                    None => Reason::ParentMissing,
                }
            }
        };
        self.report.count(reason, &message.id);
        None
    }

    /// What people starred of the messages that are here; how far they have read is noted.
    fn received(&mut self, items: &[SourceItem]) -> Vec<(UserId, i64, DateTime<Utc>)> {
        let mut stars = Vec::new();
        for item in items {
            let Some(seq) = self.seqs.get(&id(&item.message)).copied() else {
                continue;
            };
            self.is_here(seq);
            let author = item.message.author.as_deref();
            let author = author.and_then(|person| self.place.user(self.plan, person));
            if let Some(author) = author.filter(|user| self.place.members.contains(user)) {
                // Who writes has read what stands before it, as everywhere here.
                self.read(&item.message.id, author, seq);
            }
            let mut last: Option<&str> = None;
            for recipient in &item.recipients {
                if recipient.deleted {
                    self.report
                        .count(Reason::DeletedRecipient, &recipient.message);
                    continue;
                }
                if last == Some(recipient.person.as_str()) {
                    self.report
                        .count(Reason::DuplicateRecipient, &recipient.message);
                }
                last = Some(&recipient.person);
                let user = self.place.user(self.plan, &recipient.person);
                let Some(user) = user.filter(|user| self.place.members.contains(user)) else {
                    continue;
                };
                if recipient.is_favorite {
                    let at = imported_time(recipient.modified_on, self.now);
                    stars.push((user.clone(), seq, at));
                }
                if recipient.is_read {
                    self.read(&recipient.message, user, seq);
                // Of several rows of one person, those that are read come first.
                } else if self.place.marks.get(&user) != Some(&seq) {
                    *self.place.unread.entry(user).or_default() += 1;
                }
            }
        }
        stars
    }

    /// Notes how far somebody has read, and counts what they skipped before that.
    fn read(&mut self, about: &str, user: UserId, seq: i64) {
        if let Some(skipped) = self.place.unread.remove(&user) {
            let about = format!("{about}: {user}");
            self.report.add(Reason::UnreadBeforeRead, &about, skipped);
        }
        let mark = self.place.marks.entry(user).or_default();
        *mark = seq.max(*mark);
    }

    /// Notes a place of the log as one of an imported message.
    fn is_here(&mut self, seq: i64) {
        match self.place.imported.last_mut() {
            Some(last) if last.end() + 1 == seq => *last = *last.start()..=seq,
            _ => self.place.imported.push(seq..=seq),
        }
    }
}
