//! What came of an import.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeSeq as _, Serializer};
use serde_json::json;

/// How many examples of a reason are kept.
const EXAMPLES_MAX: usize = 20;

/// Declares the reasons with their code, whether something was lost by it, and what it says.
macro_rules! reasons {
    ($($(#[$meta:meta])* $name:ident, $code:literal, $lost:literal, $says:literal;)+) => {
        /// Why something of the source is not here, or not as it was.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $says] $name,)+
        }

        impl Reason {
            /// The name in the report.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// Whether something is not here because of it.
            #[must_use]
            pub fn is_loss(self) -> bool {
                match self {
                    $(Self::$name => $lost,)+
                }
            }

            fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says,)+
                }
            }
        }
    };
}

reasons! {
    SeveralTenants, "severalTenants", true, "The people of the channel are of several tenants: it is left out.";
    NoTenant, "noTenant", true, "No tenant is named for somebody of the channel: it is left out.";
    UserId, "userId", true, "Somebody of the channel has an id that no user can have: it is left out.";
    NotTwoPeople, "notTwoPeople", true, "A direct chat has two people, and these messages have others: they are left out.";
    OnlyShown, "onlyShown", false, "Somebody was shown a message between two people, and is not in their direct chat.";
    ChatTaken, "chatTaken", true, "A chat of another tenant has the channel's id: it is left out.";
    ChatDeleted, "chatDeleted", true, "The chat was deleted here: nothing is added to it.";
    NoChannel, "noChannel", true, "The message has neither a channel nor two people: it is left out.";
    NoAuthor, "noAuthor", true, "Nobody wrote the message: it is left out.";
    BlankBody, "blankBody", true, "The message has neither text, subject nor file: it is left out.";
    LongBody, "longBody", true, "The text has more than 10000 characters: the message is left out.";
    IdTaken, "idTaken", true, "Another chat has a message with the id: it is left out.";
    ParentMissing, "parentMissing", true, "The message that is answered is not here: the answer is no reply.";
    ParentElsewhere, "parentElsewhere", true, "The message that is answered is in another channel: the answer is no reply.";
    ParentLater, "parentLater", true, "The message answers itself, or one that stands behind it: it is no reply.";
    File, "file", true, "The file is no attachment: its size and checksum are not known. Its key stands in the message's metadata.";
    MetadataCut, "metadataCut", true, "What belongs into the message's metadata is too much: the longest of it is left out.";
    UnreadBeforeRead, "unreadBeforeRead", true, "The recipient had not read it but a later one: it counts as read.";
    DeletedSince, "deletedSince", true, "The message was deleted there since it was imported: here it is live.";
    ReferenceTaken, "referenceTaken", true, "Another chat has the external reference: this one has none.";
    Title, "title", true, "The title of the mapping is none that a chat can have: it is called by its channel's id.";
    SubjectIsBody, "subjectIsBody", false, "The message has no text: its subject became it.";
    SubjectMoved, "subjectMoved", false, "The subject is too long: it stands in the message's metadata.";
    OutOfOrder, "outOfOrder", false, "An older message came later: it has the time of the one before it, and its own in its metadata.";
    TimeAhead, "timeAhead", false, "The message is of the future: it has the time of the import, and its own in its metadata.";
    Modified, "modified", false, "The row changed after it was written. What changed is not known: the message is not marked as edited.";
    Forwarded, "forwarded", false, "The message was forwarded, and it is not known from where: the metadata says by whom.";
    DeletedRecipient, "deletedRecipient", false, "The recipient's row is deleted: it says nothing.";
    DuplicateRecipient, "duplicateRecipient", false, "There is another row of the same recipient and message: both count as one.";
    Departed, "departed", false, "The person left the chat here: they are not added again.";
    SecondDirect, "secondDirect", false, "The two people have a direct chat already: the channel became a group.";
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    examples: Vec<String>,
}

/// What came of an import, as far as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether nothing was written, because it was only tried.
    pub dry_run: bool,
    /// Chats that were made.
    pub chats_made: u64,
    /// Chats that were there.
    pub chats_known: u64,
    /// Channels of which nothing was taken.
    pub chats_skipped: u64,
    /// People who were added to chats.
    pub participants: u64,
    /// Messages that were read.
    pub messages_read: u64,
    /// Messages that were written.
    pub messages_written: u64,
    /// Messages that were there.
    pub messages_known: u64,
    /// Messages that were left out.
    pub messages_skipped: u64,
    /// Rows of recipients that were read.
    pub recipients: u64,
    /// Files that were read.
    pub files: u64,
    /// Stars that were set.
    pub stars: u64,
    /// Read marks that moved.
    pub marks: u64,
    reasons: BTreeMap<Reason, Tally>,
}

impl ImportReport {
    /// Of an import that has not begun.
    #[must_use]
    pub fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            ..Self::default()
        }
    }

    /// Counts a reason, with what it is about.
    pub fn count(&mut self, reason: Reason, about: &str) {
        self.add(reason, about, 1);
    }

    /// Counts a reason several times.
    pub fn add(&mut self, reason: Reason, about: &str, count: u64) {
        let tally = self.reasons.entry(reason).or_default();
        tally.count = tally.count.saturating_add(count);
        if tally.examples.len() < EXAMPLES_MAX {
            tally.examples.push(about.to_owned());
        }
    }

    /// How often a reason was counted.
    #[must_use]
    pub fn times(&self, reason: Reason) -> u64 {
        self.reasons.get(&reason).map_or(0, |tally| tally.count)
    }

    /// Whether everything of the source is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.reasons.keys().any(|reason| reason.is_loss())
    }

    /// The report as JSON, for whoever ran the import.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({
            "complete": true,
            "dryRun": self.dry_run,
            "everythingMapped": self.is_whole(),
            "chats": { "made": self.chats_made, "known": self.chats_known, "skipped": self.chats_skipped },
            "participants": { "added": self.participants },
            "messages": {
                "read": self.messages_read,
                "written": self.messages_written,
                "known": self.messages_known,
                "skipped": self.messages_skipped,
            },
            "recipients": { "read": self.recipients },
            "files": { "read": self.files },
            "stars": { "set": self.stars },
            "readMarks": { "moved": self.marks },
            "notMapped": Listed(self, true),
            "changed": Listed(self, false),
        })
    }
}

/// The reasons by which something was lost, or the others.
struct Listed<'a>(&'a ImportReport, bool);

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (reason, tally) in &self.0.reasons {
            if reason.is_loss() == self.1 {
                list.serialize_element(&json!({
                    "reason": reason.code(),
                    "says": reason.says(),
                    "count": tally.count,
                    "examples": tally.examples,
                }))?;
            }
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_bounded_and_counts_are_not() {
        let mut report = ImportReport::default();
        assert!(report.is_whole());
        report.count(Reason::Modified, "a");
        assert!(report.is_whole());
        for number in 0..50 {
            report.count(Reason::BlankBody, &number.to_string());
        }
        assert!(!report.is_whole());
        let lost = &report.json()["notMapped"];
        assert_eq!(lost.as_array().unwrap().len(), 1);
        assert_eq!(lost[0]["count"], 50);
        assert_eq!(lost[0]["examples"].as_array().unwrap().len(), EXAMPLES_MAX);
        assert_eq!(report.json()["changed"][0]["reason"], "modified");
    }
}
