//! What becomes of one message.

use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::{Map, Value, json};

use super::super::{Body, MessageId, Metadata, RefusalCode, Subject};
use super::{
    ImportReport, Reason, SOURCELOOP, SourceItem, SourceMessage, imported_id, imported_time,
};

/// How many people are named who forwarded a message.
const FORWARDERS_MAX: usize = 10;

/// A message as it will stand here, but for what depends on its chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it, by the id of the source.
    pub author: String,
    /// Its text.
    pub body: String,
    /// The line above it.
    pub subject: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was deleted, and by whom, by the id of the source.
    pub deleted: Option<(DateTime<Utc>, String)>,
    notes: Map<String, Value>,
}

/// What a message of the source becomes.
///
/// # Errors
///
/// Why it cannot be here.
pub fn draft(
    item: &SourceItem,
    now: DateTime<Utc>,
    report: &mut ImportReport,
) -> Result<Draft, Reason> {
    let message = &item.message;
    let author = message.author.clone().ok_or(Reason::NoAuthor)?;
    let mut notes = Map::new();
    let line = message.subject.as_deref().and_then(one_line);
    let subject = match line.as_deref().map(Subject::new) {
        Some(Err(_)) => {
            report.count(Reason::SubjectMoved, &message.id);
            notes.insert("subject".to_owned(), json!(message.subject));
            None
        }
        Some(Ok(subject)) => Some(subject.as_str().to_owned()),
        None => None,
    };
    let (body, subject) = body(item, subject, report)?;
    let created_at = imported_time(message.created_on, now);
    if message.created_on.trunc_subsecs(3) > now {
        report.count(Reason::TimeAhead, &message.id);
        notes.insert("createdOn".to_owned(), json!(message.created_on));
    }
    note(item, &mut notes, report);
    let deleted = message.deleted.then(|| {
        (
            deleted_at(message, now).max(created_at),
            deleter(message, &author),
        )
    });
    Ok(Draft {
        id: MessageId(imported_id("message", &message.id)),
        author,
        body,
        subject,
        created_at,
        deleted,
        notes,
    })
}

/// A subject in one line, if it says anything.
fn one_line(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn body(
    item: &SourceItem,
    subject: Option<String>,
    report: &mut ImportReport,
) -> Result<(String, Option<String>), Reason> {
    let text = item.message.body.clone();
    match Body::new(text).map_err(|refusal| refusal.code) {
        Ok(body) => Ok((body.as_str().to_owned(), subject)),
        Err(RefusalCode::TooLong) => Err(Reason::LongBody),
        Err(_) => match subject {
            Some(subject) => {
                report.count(Reason::SubjectIsBody, &item.message.id);
                Ok((subject, None))
            }
            // As a message that has attachments and says nothing.
            None if !item.files.is_empty() => Ok((String::new(), None)),
            None => Err(Reason::BlankBody),
        },
    }
}

/// Rows have a time of deletion from their start: it counts only where it is later.
fn deleted_at(message: &SourceMessage, now: DateTime<Utc>) -> DateTime<Utc> {
    let later = message.deleted_on.filter(|at| *at > message.created_on);
    imported_time(later.unwrap_or(message.modified_on), now)
}

fn deleter(message: &SourceMessage, author: &str) -> String {
    let named = message.deleted_by.as_ref().or(message.modified_by.as_ref());
    named.map_or(author, String::as_str).to_owned()
}

/// Notes what has no other place here.
fn note(item: &SourceItem, notes: &mut Map<String, Value>, report: &mut ImportReport) {
    let message = &item.message;
    if message.status != 0 {
        notes.insert("status".to_owned(), json!(message.status));
    }
    if let Some(addressee) = &message.addressee {
        notes.insert("toUserId".to_owned(), json!(addressee));
    }
    if !message.deleted && message.modified_on > message.created_on {
        report.count(Reason::Modified, &message.id);
        notes.insert("modifiedOn".to_owned(), json!(message.modified_on));
    }
    let forwarded = || {
        item.recipients
            .iter()
            .filter(|it| it.is_forwarded && !it.deleted)
    };
    if forwarded().next().is_some() {
        report.count(Reason::Forwarded, &message.id);
        let mut by: Vec<&str> = forwarded()
            .filter_map(|it| it.forwarded_by.as_deref())
            .collect();
        by.sort_unstable();
        by.dedup();
        by.truncate(FORWARDERS_MAX);
        notes.insert("forwardedBy".to_owned(), json!(by));
    }
    if !item.files.is_empty() {
        let count = u64::try_from(item.files.len()).unwrap_or(u64::MAX);
        report.add(Reason::File, &message.id, count);
        let files: Vec<Value> = item.files.iter().map(file).collect();
        notes.insert("files".to_owned(), Value::Array(files));
    }
}

/// What a row says of a file.
fn file(row: &Value) -> Value {
    let mut kept = Map::new();
    for (name, column) in [
        ("id", "id"),
        ("fileKey", "file_key"),
        ("metaData", "meta_data"),
    ] {
        if let Some(value) = row.get(column).filter(|value| !value.is_null()) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(kept)
}

impl Draft {
    /// Notes the message's own time, where it does not have it here.
    pub fn note_time(&mut self, own: DateTime<Utc>) {
        self.notes.entry("createdOn").or_insert_with(|| json!(own));
    }

    /// Notes which message it answers, where it is no reply here.
    pub fn note_parent(&mut self, parent: &str) {
        self.notes
            .insert("parentMessageId".to_owned(), json!(parent));
    }

    /// The metadata of the message: what the source says of it that has no other place.
    pub fn metadata(&mut self, report: &mut ImportReport) -> Option<Metadata> {
        if self.notes.is_empty() {
            return None;
        }
        if let Some(metadata) = bounded(&self.notes) {
            return Some(metadata);
        }
        report.count(Reason::MetadataCut, &self.id.0.to_string());
        if let Some(Value::Array(files)) = self.notes.get_mut("files") {
            for file in files.iter_mut().filter_map(Value::as_object_mut) {
                file.remove("metaData");
            }
        }
        // The keys of files are what leads to them: what goes before them is the subject.
        for name in ["", "subject", "files"] {
            self.notes.remove(name);
            if let Some(metadata) = bounded(&self.notes) {
                return Some(metadata);
            }
        }
        None
    }
}

fn bounded(notes: &Map<String, Value>) -> Option<Metadata> {
    let object = Value::Object(notes.clone());
    Metadata::new(Map::from_iter([(SOURCELOOP.to_owned(), object)])).ok()
}
