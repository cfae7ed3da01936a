//! Moving in from another chat service.
//!
//! The source is read in one snapshot, channel by channel, and written batch by batch: each batch is one transaction that
//! holds its chat's row, as every writer of a chat does. What is there already, by its id, is not written again. So a run
//! that was cut off goes on when it is started again, and one that follows adds what is new.

mod batch;
mod people;
mod place;

use std::collections::VecDeque;

use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;

use self::people::Pairs;
use self::place::Place;
use super::Clock;
use crate::model::{
    ImportReport, People, Reason, SourceChat, SourceFile, SourceItem, SourceMessage, SourcePerson,
    SourceRecipient,
};
use crate::store::Connection;
use crate::store::imports::source::{self, Part};

/// How many rows of the source are read at a time.
const READ_AT_ONCE: usize = 500;

/// How many messages without a place are named.
const STRAY_MAX: usize = 20;

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportPlan {
    /// Who the people are here.
    pub people: People,
    /// Whether a channel of two people, each of whose messages is addressed to one of them, is their direct chat.
    pub direct: bool,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// How many messages are written at a time.
    pub batch: usize,
}

/// Why an import ends before everything is read. What was written until then is whole, and stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source is something else.
    #[error("the source has no tables main.messages and main.message_recipients")]
    NoTables,
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Source(#[source] diesel::result::Error),
    /// The destination cannot be written.
    #[error("the import cannot be written")]
    Target(#[from] diesel::result::Error),
}

/// The rows of a part of the source, in its order.
#[derive(Debug)]
struct Rows<T> {
    part: Part,
    ahead: VecDeque<T>,
    is_open: bool,
}

impl<T: QueryableByName<Pg> + Send + 'static> Rows<T> {
    async fn open(conn: &mut Connection, part: Part) -> Result<Self, ImportError> {
        source::open(conn, part)
            .await
            .map_err(ImportError::Source)?;
        Ok(Self {
            part,
            ahead: VecDeque::new(),
            is_open: true,
        })
    }

    /// The next row, if it is one that is wanted.
    async fn next_if(
        &mut self,
        conn: &mut Connection,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, ImportError> {
        if self.ahead.is_empty() && self.is_open {
            let rows = source::next(conn, self.part, READ_AT_ONCE).await;
            self.ahead = rows.map_err(ImportError::Source)?.into();
            self.is_open = !self.ahead.is_empty();
        }
        Ok(self.ahead.pop_front_if(|row| wanted(row)))
    }

    /// All next rows that are wanted.
    async fn while_wanted(
        &mut self,
        conn: &mut Connection,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, ImportError> {
        let mut rows = Vec::new();
        while let Some(row) = self.next_if(conn, &wanted).await? {
            rows.push(row);
        }
        Ok(rows)
    }
}

/// An import that runs.
#[derive(Debug)]
pub struct Import<'a> {
    source: &'a mut Connection,
    target: &'a mut Connection,
    plan: &'a ImportPlan,
    clock: Clock,
    report: ImportReport,
    messages: Rows<SourceMessage>,
    recipients: Rows<SourceRecipient>,
    files: Option<Rows<SourceFile>>,
    pairs: Pairs,
}

impl<'a> Import<'a> {
    /// Imports everything from a source. `heard` is told after each batch how far it is.
    ///
    /// # Errors
    ///
    /// [`ImportError`], with what was written until then in its place.
    pub async fn run(
        (source, target): (&'a mut Connection, &'a mut Connection),
        plan: &'a ImportPlan,
        mut heard: impl FnMut(&ImportReport) + Send,
    ) -> Result<ImportReport, ImportError> {
        source::begin(source).await.map_err(ImportError::Source)?;
        let tables = source::tables(source).await.map_err(ImportError::Source)?;
        if !tables.messages {
            return Err(ImportError::NoTables);
        }
        let mut chats = Rows::<SourceChat>::open(source, Part::Chats).await?;
        let mut people = Rows::<SourcePerson>::open(source, Part::People).await?;
        let files = if tables.files {
            Some(Rows::open(source, Part::Files).await?)
        } else {
            None
        };
        let mut import = Self {
            messages: Rows::open(source, Part::Messages).await?,
            recipients: Rows::open(source, Part::Recipients).await?,
            files,
            pairs: Pairs::default(),
            source,
            target,
            plan,
            clock: Clock,
            report: ImportReport::new(plan.dry_run),
        };
        import.count_stray().await?;
        while let Some(chat) = chats.next_if(import.source, |_| true).await? {
            let in_it = |person: &SourcePerson| person.key == chat.key;
            let people = people.while_wanted(import.source, in_it).await?;
            import.chat(&chat, &people, &mut heard).await?;
        }
        source::end(import.source)
            .await
            .map_err(ImportError::Source)?;
        Ok(import.report)
    }

    async fn count_stray(&mut self) -> Result<(), ImportError> {
        let stray = source::stray(self.source, STRAY_MAX).await;
        let (count, examples) = stray.map_err(ImportError::Source)?;
        let count = u64::try_from(count).unwrap_or_default();
        self.report.messages_read += count;
        self.report.messages_skipped += count;
        for (place, example) in (0..).zip(&examples) {
            // The last one counts for all that are not named.
            let rest = count.saturating_sub(place);
            let is_last = usize::try_from(place).is_ok_and(|place| place + 1 == examples.len());
            let times = if is_last { rest } else { 1 };
            self.report.add(Reason::NoChannel, example, times);
        }
        Ok(())
    }

    /// Imports a channel.
    async fn chat(
        &mut self,
        chat: &SourceChat,
        people: &[SourcePerson],
        heard: &mut (impl FnMut(&ImportReport) + Send),
    ) -> Result<(), ImportError> {
        let now = self.clock.now();
        let noted = (&mut self.report, &mut self.pairs);
        let placed = Place::find(self.target, self.plan, chat, people, noted, now).await?;
        let mut place = match placed {
            Ok(place) => Some(place),
            Err(reason) => {
                self.report.count(reason, &chat.key);
                self.report.chats_skipped += 1;
                None
            }
        };
        loop {
            let items = self.items(&chat.key).await?;
            if items.is_empty() {
                break;
            }
            let count = u64::try_from(items.len()).unwrap_or_default();
            self.report.messages_read += count;
            let written = match &mut place {
                Some(place) => {
                    let (target, report) = (&mut *self.target, &mut self.report);
                    Some(batch::write(target, self.plan, place, items, report, now).await?)
                }
                None => None,
            };
            if let Some(Err(reason)) = written {
                self.report.count(reason, &chat.key);
                place = None;
            }
            if place.is_none() {
                self.report.messages_skipped += count;
            }
            heard(&self.report);
        }
        match &mut place {
            Some(place) if !self.plan.dry_run => {
                batch::finish(self.target, place, &mut self.report).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The next messages of a channel, with what belongs to them.
    async fn items(&mut self, key: &str) -> Result<Vec<SourceItem>, ImportError> {
        let mut items = Vec::new();
        while items.len() < self.plan.batch {
            let in_it = |message: &SourceMessage| message.key == key;
            let Some(message) = self.messages.next_if(self.source, in_it).await? else {
                break;
            };
            let of_it = |recipient: &SourceRecipient| recipient.message == message.id;
            let recipients = self.recipients.while_wanted(self.source, of_it).await?;
            let files = match &mut self.files {
                Some(files) => {
                    let of_it = |file: &SourceFile| file.message == message.id;
                    files.while_wanted(self.source, of_it).await?
                }
                None => Vec::new(),
            };
            self.report.recipients += u64::try_from(recipients.len()).unwrap_or_default();
            self.report.files += u64::try_from(files.len()).unwrap_or_default();
            items.push(SourceItem {
                message,
                recipients,
                files: files.into_iter().map(|file| file.file).collect(),
            });
        }
        Ok(items)
    }
}
