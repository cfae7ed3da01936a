//! Where the messages of a channel go: which chat, of which tenant, with whom.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::{Map, json};

use super::ImportPlan;
use super::people::{Member, Pairs, count, ensure_users, identify, members, opener};
use crate::model::{
    Channel, ChatHistory, ChatId, ChatKind, ImportReport, Metadata, NewEvent, Reason, Role,
    SOURCELOOP, SourceChat, SourcePerson, TenantId, Title, UserId, imported_id,
};
use crate::store::chats::NewChat;
use crate::store::participants::NewParticipant;
use crate::store::{self, Connection};

/// How many people are written in one statement: Postgres takes 65535 parameters.
const PEOPLE_AT_ONCE: usize = 1000;

/// A chat that messages go to.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) chat_id: ChatId,
    pub(super) tenant: TenantId,
    pub(super) key: String,
    kind: ChatKind,
    channel: Option<String>,
    channel_type: Option<String>,
    title: Option<Title>,
    /// Whether the chat is there; in a dry run also from the moment when it would be.
    pub(super) is_made: bool,
    /// People who are to be added.
    to_add: Vec<Member>,
    /// Who is in the chat, or will be.
    pub(super) members: HashSet<UserId>,
    /// Ids of the source to those here.
    users: HashMap<String, UserId>,
    /// How far people have read, and the stretches of the log that were imported: what lies between is of here.
    pub(super) marks: HashMap<UserId, i64>,
    pub(super) imported: Vec<RangeInclusive<i64>>,
    /// Messages that were left out.
    pub(super) skipped: HashSet<String>,
    /// How many messages somebody received and has not read, since the last that they read.
    pub(super) unread: HashMap<UserId, u64>,
    /// The end of its log, and the time of its newest message, in a dry run.
    pub(super) dry: (i64, DateTime<Utc>),
}

impl Place {
    /// Finds where a channel goes, or says why nowhere.
    pub(super) async fn find(
        target: &mut Connection,
        plan: &ImportPlan,
        chat: &SourceChat,
        people: &[SourcePerson],
        (report, pairs): (&mut ImportReport, &mut Pairs),
        now: DateTime<Utc>,
    ) -> diesel::QueryResult<Result<Self, Reason>> {
        if people.iter().all(|person| person.wrote_at.is_none()) {
            // Nobody wrote any of it.
            return Ok(Err(Reason::NoAuthor));
        }
        let (people, shown): (Vec<_>, Vec<_>) = people
            .iter()
            .partition(|person| person.named || chat.channel.is_some());
        for person in shown {
            let about = format!("{}: {}", chat.key, person.person);
            report.count(Reason::OnlyShown, &about);
        }
        let (tenant, users) = match identify(plan, &people) {
            Ok(identified) => identified,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut place = Self::new(plan, chat, tenant, users);
        place.to_add = members(&people, &place.users, now);
        place.settle(target, plan, (report, pairs)).await
    }

    fn new(
        plan: &ImportPlan,
        chat: &SourceChat,
        tenant: TenantId,
        users: HashMap<String, UserId>,
    ) -> Self {
        let channel = chat.channel.clone();
        let is_direct = channel.is_none() || plan.direct && chat.addressed;
        Self {
            chat_id: ChatId(imported_id("chat", &chat.key)),
            tenant,
            key: chat.key.clone(),
            kind: if is_direct {
                ChatKind::Direct
            } else {
                ChatKind::Group
            },
            channel,
            channel_type: chat.channel_type.clone(),
            title: None,
            is_made: false,
            to_add: Vec::new(),
            members: HashSet::new(),
            users,
            marks: HashMap::new(),
            imported: Vec::new(),
            skipped: HashSet::new(),
            unread: HashMap::new(),
            dry: (0, DateTime::UNIX_EPOCH),
        }
    }

    /// Looks at what is there.
    async fn settle(
        mut self,
        target: &mut Connection,
        plan: &ImportPlan,
        (report, pairs): (&mut ImportReport, &mut Pairs),
    ) -> diesel::QueryResult<Result<Self, Reason>> {
        let pair = match self.to_add.as_slice() {
            [one, other] => Some((one.user.clone(), other.user.clone())),
            _ => None,
        };
        let tried = pair
            .as_ref()
            .is_some_and(|pair| pairs.has(&self.tenant, pair));
        let mut existing = store::imports::chat(target, self.chat_id).await?;
        if existing.is_none() && self.kind == ChatKind::Direct {
            let known = match &pair {
                Some((one, other)) => {
                    store::chats::of_pair(target, &self.tenant, (one, other)).await?
                }
                None => None,
            };
            match (known, &self.channel, &pair) {
                // Who wrote without a channel wrote in the one direct chat.
                (Some(id), None, _) => {
                    self.chat_id = id;
                    existing = store::imports::chat(target, id).await?;
                }
                (None, None, Some(_)) if tried => {
                    report.chats_known += 1;
                    self.is_made = true;
                    self.members = self.to_add.drain(..).map(|it| it.user).collect();
                    return Ok(Ok(self));
                }
                (Some(_), Some(_), _) => self.be_second(report),
                (None, Some(_), Some(_)) if tried => self.be_second(report),
                (None, None, None) => return Ok(Err(Reason::NotTwoPeople)),
                (None, Some(_), None) => self.kind = ChatKind::Group,
                (None, _, Some(pair)) if plan.dry_run => pairs.add(&self.tenant, pair),
                (None, _, Some(_)) => {}
            }
        }
        if let Some(existing) = existing {
            if existing.tenant_id != self.tenant {
                return Ok(Err(Reason::ChatTaken));
            }
            if existing.deleted_at.is_some() {
                return Ok(Err(Reason::ChatDeleted));
            }
            self.kind = existing.kind;
            self.is_made = true;
            self.dry = (existing.last_seq, existing.last_activity_at);
            return self.join_those_there(target, report).await;
        }
        self.members = self.to_add.iter().map(|it| it.user.clone()).collect();
        if self.kind == ChatKind::Group {
            self.title = Some(self.titled(plan, report));
        }
        Ok(Ok(self))
    }

    /// The two have their direct chat, and this channel is another one.
    fn be_second(&mut self, report: &mut ImportReport) {
        report.count(Reason::SecondDirect, &self.key);
        self.kind = ChatKind::Group;
    }

    fn titled(&self, plan: &ImportPlan, report: &mut ImportReport) -> Title {
        let name = self.channel.as_ref().unwrap_or(&self.key);
        let untitled = || Title::of_channel(name);
        let Some(wanted) = plan.people.titles.get(name) else {
            return untitled();
        };
        Title::new(wanted).unwrap_or_else(|_| {
            report.count(Reason::Title, name);
            untitled()
        })
    }

    /// Holds the chat's row until the transaction ends, and looks again at what may have changed: the two may have opened
    /// their chat themselves, people may have come and gone, and somebody may have deleted it.
    pub(super) async fn hold(
        &mut self,
        conn: &mut Connection,
        plan: &ImportPlan,
        report: &mut ImportReport,
    ) -> diesel::QueryResult<Result<(), Reason>> {
        if !self.is_made {
            self.claim(conn, plan, report).await?;
        }
        if !self.is_made {
            return Ok(Ok(()));
        }
        let (tenant, id) = (&self.tenant, self.chat_id);
        store::chats::lock_any(conn, tenant, id).await?;
        let chat = store::imports::chat(conn, id).await?;
        if chat.is_none_or(|chat| chat.deleted_at.is_some()) {
            return Ok(Err(Reason::ChatDeleted));
        }
        let there = store::participants::user_ids(conn, tenant, id).await?;
        self.members = there.into_iter().collect();
        if !self.to_add.is_empty() {
            let departed = store::imports::departed(conn, tenant, id).await?;
            self.to_add.retain(|it| !self.members.contains(&it.user));
            self.leave_out(&departed, report);
        }
        Ok(Ok(()))
    }

    /// Makes sure that there is no other direct chat of the two, before there is this one.
    async fn claim(
        &mut self,
        conn: &mut Connection,
        plan: &ImportPlan,
        report: &mut ImportReport,
    ) -> diesel::QueryResult<()> {
        let (ChatKind::Direct, [one, other]) = (self.kind, self.to_add.as_slice()) else {
            return Ok(());
        };
        let pair = (&one.user, &other.user);
        let known = store::chats::claim_pair(conn, &self.tenant, pair, self.chat_id).await?;
        match (known, &self.channel) {
            (None, _) => {}
            (Some(known), None) => {
                self.chat_id = known;
                self.is_made = true;
                report.chats_known += 1;
            }
            (Some(_), Some(_)) => {
                self.be_second(report);
                self.title = Some(self.titled(plan, report));
            }
        }
        Ok(())
    }

    /// Keeps of those to add who was never in the chat.
    async fn join_those_there(
        mut self,
        target: &mut Connection,
        report: &mut ImportReport,
    ) -> diesel::QueryResult<Result<Self, Reason>> {
        let there = store::participants::user_ids(target, &self.tenant, self.chat_id).await?;
        self.members = there.into_iter().collect();
        let departed = store::imports::departed(target, &self.tenant, self.chat_id).await?;
        self.to_add.retain(|it| !self.members.contains(&it.user));
        if self.kind == ChatKind::Direct && !self.to_add.is_empty() {
            return Ok(Err(Reason::NotTwoPeople));
        }
        self.leave_out(&departed, report);
        for member in &mut self.to_add {
            member.role = Role::Member;
        }
        self.members
            .extend(self.to_add.iter().map(|it| it.user.clone()));
        report.chats_known += 1;
        Ok(Ok(self))
    }

    /// Adds nobody who left the chat here.
    fn leave_out(&mut self, departed: &HashSet<UserId>, report: &mut ImportReport) {
        self.to_add.retain(|it| {
            let is_departed = departed.contains(&it.user);
            if is_departed {
                let about = format!("{}: {}", self.key, it.user);
                report.count(Reason::Departed, &about);
            }
            !is_departed
        });
    }

    /// Who somebody of the source is here.
    pub(super) fn user(&self, plan: &ImportPlan, person: &str) -> Option<UserId> {
        let known = self.users.get(person).cloned();
        known.or_else(|| plan.people.user(person).ok())
    }

    /// Makes the chat, or adds who is new to it, in the transaction that holds it and writes its next messages, the first
    /// of which is of `at`.
    pub(super) async fn prepare(
        &mut self,
        conn: &mut Connection,
        report: &mut ImportReport,
        at: DateTime<Utc>,
    ) -> diesel::QueryResult<()> {
        let members = std::mem::take(&mut self.to_add);
        if !self.is_made {
            self.make(conn, &members, report, at).await?;
            self.is_made = true;
            report.chats_made += 1;
        } else if !members.is_empty() {
            self.add(conn, &members).await?;
        }
        report.participants += u64::try_from(members.len()).unwrap_or_default();
        self.members.extend(members.into_iter().map(|it| it.user));
        Ok(())
    }

    /// As [`Place::prepare`], without writing.
    pub(super) async fn prepare_dry(
        &mut self,
        conn: &mut Connection,
        report: &mut ImportReport,
    ) -> diesel::QueryResult<()> {
        let added = std::mem::take(&mut self.to_add).len();
        report.participants += u64::try_from(added).unwrap_or_default();
        if !self.is_made {
            self.free_channel(conn, report).await?;
            self.is_made = true;
            report.chats_made += 1;
        }
        Ok(())
    }

    async fn make(
        &mut self,
        conn: &mut Connection,
        members: &[Member],
        report: &mut ImportReport,
        at: DateTime<Utc>,
    ) -> diesel::QueryResult<()> {
        let tenant = &self.tenant;
        let Some(opener) = opener(members) else {
            return Ok(());
        };
        let channel = self.free_channel(conn, report).await?;
        ensure_users(conn, tenant, members, at).await?;
        let metadata = self.metadata();
        let last_seq = count(members);
        let chat = NewChat {
            id: self.chat_id,
            tenant_id: tenant,
            kind: self.kind,
            title: self.title.as_ref().map(Title::as_str),
            created_by: &opener,
            created_at: at,
            last_seq,
            last_activity_at: at,
            history: ChatHistory::Whole,
            metadata: metadata.as_ref(),
            channel_type: channel.as_ref().map(|it| it.channel_type.as_str()),
            channel_id: channel.as_ref().map(|it| it.channel_id.as_str()),
        };
        store::chats::insert(conn, &chat).await?;
        self.write_members(conn, members, &opener, last_seq, at, true)
            .await
    }

    /// Adds people to a chat whose row the transaction holds.
    async fn add(&self, conn: &mut Connection, members: &[Member]) -> diesel::QueryResult<()> {
        let (tenant, id) = (&self.tenant, self.chat_id);
        let chat = store::imports::chat(conn, id).await?;
        let Some((chat, opener)) = chat.zip(opener(members)) else {
            return Ok(());
        };
        let opener = chat.created_by.unwrap_or(opener);
        let at = chat.last_activity_at;
        ensure_users(conn, tenant, members, at).await?;
        let last_seq = store::chats::take_seqs(conn, tenant, id, count(members), true).await?;
        self.write_members(conn, members, &opener, last_seq, at, false)
            .await
    }

    async fn write_members(
        &self,
        conn: &mut Connection,
        members: &[Member],
        opener: &UserId,
        last_seq: i64,
        at: DateTime<Utc>,
        is_first: bool,
    ) -> diesel::QueryResult<()> {
        let tenant = &self.tenant;
        let mut seq = last_seq - count(members);
        for members in members.chunks(PEOPLE_AT_ONCE) {
            let rows = (seq + 1..)
                .zip(members)
                .map(|(seq, member)| NewParticipant {
                    chat_id: self.chat_id,
                    user_id: &member.user,
                    tenant_id: tenant,
                    role: member.role,
                    joined_at: member.joined_at,
                    // The first participants join together, and see the log from its start.
                    joined_seq: if is_first { 1 } else { seq },
                    // That others were added is nothing to read.
                    read_seq: if is_first { last_seq } else { 0 },
                });
            let rows: Vec<_> = rows.collect();
            store::participants::insert(conn, &rows).await?;
            let joins = members.iter().map(|member| NewEvent::ParticipantAdded {
                user: member.user.clone(),
                role: member.role,
            });
            let chat = (tenant, self.chat_id);
            store::imports::insert_joins(conn, chat, opener, seq + 1, at, joins.collect()).await?;
            seq += count(members);
        }
        Ok(())
    }

    /// The external reference, unless another chat has it.
    async fn free_channel(
        &self,
        conn: &mut Connection,
        report: &mut ImportReport,
    ) -> diesel::QueryResult<Option<Channel>> {
        let channel = self.channel.clone();
        let Some(channel) = channel.and_then(|id| Channel::new(SOURCELOOP.to_owned(), id).ok())
        else {
            return Ok(None);
        };
        let other = store::chats::of_channel(conn, &self.tenant, None, &channel).await?;
        if other.is_some() {
            report.count(Reason::ReferenceTaken, &self.key);
            return Ok(None);
        }
        Ok(Some(channel))
    }

    /// What the application called the sort of channel.
    fn metadata(&self) -> Option<Metadata> {
        let sort = json!({ "channelType": self.channel_type.as_ref()? });
        Metadata::new(Map::from_iter([(SOURCELOOP.to_owned(), sort)])).ok()
    }
}
