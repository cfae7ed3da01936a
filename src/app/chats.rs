//! Chats: opening, naming, deleting and restoring them; the inbox.

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection as _;

use super::access::{self, lock_for, no_such_chat, reread};
use super::audit_entries::{Target, record};
use super::messages::UNREAD_MAX;
use super::references::belongs_already;
use super::{Actor, App, Error, IDS_MAX};
use crate::model::{
    Action, Channel, Chat, ChatFilter, ChatHistory, ChatId, ChatKind, ChatState, InboxChat,
    InboxFields, ListCursor, ListKey, Metadata, NewEvent, Page, PageArgs, Refusal, Role, Slice,
    Title, UserId, fingerprint,
};
use crate::realtime::Hint;
use crate::store::chats::NewChat;
use crate::store::participants::NewParticipant;
use crate::store::{self, Connection};

impl App {
    /// The chats among `ids` that the actor may see.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn chats_by_ids(
        &self,
        actor: &Actor,
        ids: &[ChatId],
    ) -> Result<Vec<ChatState>, Error> {
        let mut conn = self.connection_for(actor).await?;
        access::visible(&mut conn, actor, ids).await
    }

    /// A chat's row for the last event that someone sees of it, after which they are not in it any more.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn chat_left(&self, actor: &Actor, id: ChatId) -> Result<Option<Chat>, Error> {
        let mut conn = self.connection_for(actor).await?;
        Ok(store::chats::row(&mut conn, &actor.tenant, id).await?)
    }

    /// A page of the actor's chats, most recently active first, each with what is asked for of it.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for the arguments; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chats_page(
        &self,
        actor: &Actor,
        filter: &ChatFilter,
        args: &PageArgs,
        fields: InboxFields,
    ) -> Result<Slice<InboxChat>, Error> {
        let list = Self::inbox_key(actor, filter);
        let page = Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Chat(at, id)) => Some((at, id)),
            _ => None,
        })?;
        let Actor { tenant, user, .. } = actor;
        let restorers = access::restorers();
        let mut conn = self.connection_for(actor).await?;
        let fields = (fields, UNREAD_MAX);
        let items =
            store::chats::page(&mut conn, tenant, user, filter, &restorers, &page, fields).await?;
        let before_it = match page.after {
            None => false,
            Some(key) => {
                store::chats::any_up_to(&mut conn, tenant, user, filter, &restorers, key).await?
            }
        };
        let behind_it = match page.before {
            None => false,
            Some(key) => {
                store::chats::any_from(&mut conn, tenant, user, filter, &restorers, key).await?
            }
        };
        Ok(Slice::new(&page, items, before_it, behind_it))
    }

    /// The list that the cursors of the actor's inbox belong to.
    #[must_use]
    pub fn inbox_key(actor: &Actor, filter: &ChatFilter) -> ListKey {
        ListKey::Chats(fingerprint(&actor.tenant, &actor.user), filter.clone())
    }

    /// Opens the one direct chat of the actor and another user, made on first use, restored if deleted.
    ///
    /// # Errors
    ///
    /// `INVALID` for oneself; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_open_direct(&self, actor: &Actor, other: UserId) -> Result<ChatState, Error> {
        if other == actor.user {
            return Err(Refusal::invalid("A direct chat is with somebody else.")
                .at("userId")
                .into());
        }
        let pair = (&actor.user, &other);
        let mut conn = self.connection_for(actor).await?;
        let existing = match store::chats::of_pair(&mut conn, &actor.tenant, pair).await? {
            Some(existing) => Some(existing),
            None => self.make_direct(&mut conn, actor, &other).await?,
        };
        drop(conn);
        match existing {
            Some(id) => self.chat_restore(actor, id).await,
            None => self.direct_of(actor, &other).await,
        }
    }

    /// Makes the direct chat; returns the id of the one that is there already.
    async fn make_direct(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        other: &UserId,
    ) -> Result<Option<ChatId>, Error> {
        let (id, at) = (self.ids.chat(), self.clock.now());
        let pair = (&actor.user, other);
        let people = [(&actor.user, Role::Member), (other, Role::Member)];
        let existing = conn
            .transaction(async |conn| {
                let claimed = store::chats::claim_pair(conn, &actor.tenant, pair, id).await?;
                if claimed.is_none() {
                    write_chat(conn, actor, id, None, &people, at).await?;
                }
                Ok::<_, Error>(claimed)
            })
            .await?;
        if existing.is_none() {
            self.ring(actor, id, Some(2), vec![actor.user.clone(), other.clone()]);
        }
        Ok(existing)
    }

    async fn direct_of(&self, actor: &Actor, other: &UserId) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let id = store::chats::of_pair(&mut conn, &actor.tenant, (&actor.user, other)).await?;
        let id = id.ok_or_else(no_such_chat)?;
        Ok(reread(&mut conn, actor, id).await?)
    }

    /// Makes a group with the actor as owner and others as members.
    ///
    /// # Errors
    ///
    /// `TOO_MANY` for more than 100 others or than a group holds, `CONFLICT` where another chat belongs to the same thing
    /// of the application; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_create_group(
        &self,
        actor: &Actor,
        group: &NewGroup,
        others: Vec<UserId>,
    ) -> Result<ChatState, Error> {
        let others = distinct(others, "participantIds")?;
        let others = others.iter().filter(|user| **user != actor.user);
        let owner = std::iter::once((&actor.user, Role::Owner));
        let people: Vec<_> = owner
            .chain(others.map(|user| (user, Role::Member)))
            .collect();
        self.check_size(people.len(), "participantIds")?;
        let (id, at) = (self.ids.chat(), self.clock.now());
        let mut conn = self.connection_for(actor).await?;
        let state = conn
            .transaction(async |conn| {
                write_chat(conn, actor, id, Some(group), &people, at).await?;
                Ok::<_, Error>(reread(conn, actor, id).await?)
            })
            .await?;
        let people = people.into_iter().map(|(user, _)| user.clone()).collect();
        self.ring(actor, id, Some(state.chat.last_seq), people);
        Ok(state)
    }

    /// Refuses a group of more people than the installation allows.
    pub(super) fn check_size(&self, size: usize, field: &'static str) -> Result<(), Refusal> {
        let most = self.limits.participants_max;
        if usize::try_from(most).is_ok_and(|most| size > most) {
            let why = format!("A group has at most {most} participants.");
            return Err(Refusal::too_many(why).at(field));
        }
        Ok(())
    }

    /// Gives a group another title.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_rename(
        &self,
        actor: &Actor,
        id: ChatId,
        title: &Title,
    ) -> Result<ChatState, Error> {
        let title = title.as_str();
        let mut conn = self.connection_for(actor).await?;
        let state = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, id, Action::Rename).await?;
                let previous = state.chat.title.clone();
                if previous.as_deref() == Some(title) {
                    return Ok(state);
                }
                store::chats::set_title(conn, &actor.tenant, id, title).await?;
                let title = title.to_owned();
                let event = NewEvent::ChatRenamed { title, previous };
                let at = self.clock.now();
                append(conn, actor, id, at, vec![event], false).await?;
                Ok::<_, Error>(reread(conn, actor, id).await?)
            })
            .await?;
        self.ring(actor, id, Some(state.chat.last_seq), Vec::new());
        Ok(state)
    }

    /// Changes how much of a group's log its participants see: for all of them, at once.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_change_history(
        &self,
        actor: &Actor,
        id: ChatId,
        history: ChatHistory,
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let state = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, id, Action::ChangeHistory).await?;
                let previous = state.chat.history;
                if previous == history {
                    return Ok(state);
                }
                store::chats::set_history(conn, &actor.tenant, id, history).await?;
                let event = NewEvent::ChatHistoryChanged { history, previous };
                // What a participant may answer and mark depends on it, so access has changed.
                append(conn, actor, id, self.clock.now(), vec![event], true).await?;
                Ok::<_, Error>(reread(conn, actor, id).await?)
            })
            .await?;
        self.ring(actor, id, Some(state.chat.last_seq), Vec::new());
        Ok(state)
    }

    /// Deletes a chat, softly. Whoever may do that may restore it, and so still sees it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_delete(&self, actor: &Actor, id: ChatId) -> Result<ChatState, Error> {
        let action = (Action::DeleteChat, NewEvent::ChatDeleted);
        self.set_deleted(actor, id, action, true).await
    }

    /// Restores a deleted chat, with everything it had.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_restore(&self, actor: &Actor, id: ChatId) -> Result<ChatState, Error> {
        let action = (Action::RestoreChat, NewEvent::ChatRestored);
        self.set_deleted(actor, id, action, false).await
    }

    async fn set_deleted(
        &self,
        actor: &Actor,
        id: ChatId,
        (action, event): (Action, NewEvent),
        deleted: bool,
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        // Most often the chat is as wanted already (a direct chat that is opened again): no lock for that.
        let state = access::read_for(&mut conn, actor, id, action).await?;
        if state.chat.deleted_at.is_some() == deleted {
            record(&mut conn, actor, &state, action, Target::Chat).await?;
            return Ok(state);
        }
        let state = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, id, action).await?;
                record(conn, actor, &state, action, Target::Chat).await?;
                if state.chat.deleted_at.is_some() == deleted {
                    return Ok(state);
                }
                let at = self.clock.now();
                let mark = deleted.then_some((&actor.user, at));
                store::chats::set_deleted(conn, &actor.tenant, id, mark).await?;
                append(conn, actor, id, at, vec![event], true).await?;
                Ok::<_, Error>(reread(conn, actor, id).await?)
            })
            .await?;
        self.realtime.access_changed(id);
        self.ring(actor, id, Some(state.chat.last_seq), Vec::new());
        Ok(state)
    }

    /// Tells the subscribers, here and on the other servers. To be called after the commit.
    pub(super) fn ring(&self, actor: &Actor, id: ChatId, seq: Option<i64>, people: Vec<UserId>) {
        self.realtime.ring(&Hint {
            tenant: actor.tenant.clone(),
            chat_id: id,
            seq,
            people,
        });
    }
}

/// A group to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// Its title.
    pub title: Title,
    /// How much of its log its participants see.
    pub history: ChatHistory,
    /// What the application keeps with it.
    pub metadata: Option<Metadata>,
    /// The thing of the application that it belongs to.
    pub channel: Option<Channel>,
}

/// Drops repeated ids.
///
/// # Errors
///
/// `TOO_MANY` where more than 100 are given.
pub(super) fn distinct(ids: Vec<UserId>, field: &'static str) -> Result<Vec<UserId>, Refusal> {
    if ids.len() > IDS_MAX {
        return Err(Refusal::too_many("One call names at most 100 users.").at(field));
    }
    let mut distinct: Vec<UserId> = Vec::with_capacity(ids.len());
    for id in ids {
        if !distinct.contains(&id) {
            distinct.push(id);
        }
    }
    Ok(distinct)
}

/// Appends entries to a chat's log, under the lock of its row.
pub(super) async fn append(
    conn: &mut Connection,
    actor: &Actor,
    id: ChatId,
    at: DateTime<Utc>,
    events: Vec<NewEvent>,
    access_changed: bool,
) -> Result<i64, Error> {
    let count = i64::try_from(events.len()).map_err(|error| Error::Internal(error.into()))?;
    let tenant = &actor.tenant;
    let last = store::chats::take_seqs(conn, tenant, id, count, access_changed).await?;
    store::events::append(conn, tenant, id, actor.by(), last, at, events).await?;
    Ok(last)
}

/// Writes a new chat with its participants and the beginning of its log: a group, or a direct chat.
async fn write_chat(
    conn: &mut Connection,
    actor: &Actor,
    id: ChatId,
    group: Option<&NewGroup>,
    people: &[(&UserId, Role)],
    at: DateTime<Utc>,
) -> Result<(), Error> {
    let Actor { tenant, user, .. } = actor;
    let last_seq = i64::try_from(people.len()).map_err(|error| Error::Internal(error.into()))?;
    let users: Vec<UserId> = people.iter().map(|(user, _)| (*user).clone()).collect();
    store::users::ensure(conn, tenant, &users, at).await?;
    let channel = group.and_then(|group| group.channel.as_ref());
    let chat = NewChat {
        id,
        tenant_id: tenant,
        kind: group.map_or(ChatKind::Direct, |_| ChatKind::Group),
        title: group.map(|group| group.title.as_str()),
        created_by: user,
        created_at: at,
        last_seq,
        last_activity_at: at,
        history: group.map_or(ChatHistory::Whole, |group| group.history),
        metadata: group.and_then(|group| group.metadata.as_ref()),
        channel_type: channel.map(|it| it.channel_type.as_str()),
        channel_id: channel.map(|it| it.channel_id.as_str()),
    };
    if !store::chats::insert(conn, &chat).await? {
        return Err(belongs_already().into());
    }
    let rows: Vec<_> = people
        .iter()
        .map(|(user_id, role)| NewParticipant {
            chat_id: id,
            user_id,
            tenant_id: tenant,
            role: *role,
            joined_at: at,
            // The first participants join together, and see the log from its start.
            joined_seq: 1,
            read_seq: last_seq,
        })
        .collect();
    store::participants::insert(conn, &rows).await?;
    let events = people
        .iter()
        .map(|(user, role)| NewEvent::ParticipantAdded {
            user: (*user).clone(),
            role: *role,
        })
        .collect();
    store::events::append(conn, tenant, id, actor.by(), last_seq, at, events).await?;
    Ok(())
}
