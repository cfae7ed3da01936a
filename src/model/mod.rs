//! What the nouns are: ids, rows, validated values, events, the permission table, pages.
//!
//! Pure data and pure functions. Nothing here queries, awaits or knows GraphQL.

mod attachment;
mod audit_entry;
mod chat;
mod closed_set;
mod cursor;
mod delivery;
mod event;
mod filter;
#[cfg(test)]
mod fuzz;
mod grant;
mod id;
mod import;
mod message;
mod metadata;
mod notification;
mod origin;
mod page;
mod participant;
mod permission;
mod receipt;
mod refusal;
mod revocation;
mod signal;
mod sink;
mod star;
mod user;

pub use attachment::{
    ATTACHMENTS_MAX, Attachment, AttachmentDownload, AttachmentStatus, Checksum, ContentType,
    DownloadPlace, FILE_NAME_MAX_CHARS, FileName, NewAttachments,
};
pub use audit_entry::{Act, AuditEntry, Deed, TrailEntry, TrailFilter, TrailPlace};
pub use chat::{
    CHANNEL_ID_MAX_CHARS, CHANNEL_TYPE_MAX_CHARS, Channel, Chat, ChatFilter, ChatHistory, ChatKind,
    ChatState, InboxChat, InboxFields, TITLE_MAX_CHARS, Title, visible_from,
};
pub use cursor::{CursorError, EventCursor, ListCursor, ListKey};
pub use delivery::{
    DeadLetter, Delivery, Failure, FailureKind, Lane, event_id, notification_id, wait_after,
};
pub use event::{Change, Event, EventData, EventKind, NewEvent};
pub use filter::{
    FilterError, MessageFilter, SEARCH_MAX_CHARS, SENDERS_MAX, SearchText, end_of_history,
    within_history,
};
pub use grant::{Grants, Operation, Permission};
pub use id::{AttachmentId, ChatId, IdError, MessageId, NodeId, ParticipantId};
pub use import::{
    Draft, ImportReport, People, PeopleError, Reason, SOURCELOOP, SourceChat, SourceFile,
    SourceItem, SourceMessage, SourcePerson, SourceRecipient, draft, imported_id, imported_time,
};
pub use message::{
    BODY_MAX_CHARS, Body, IDEMPOTENCY_KEY_MAX_CHARS, IdempotencyKey, Message, Revision,
    SUBJECT_MAX_CHARS, Subject, Thread, UnreadRange,
};
pub use metadata::{METADATA_MAX_BYTES, METADATA_MAX_DEPTH, Metadata};
pub use notification::{
    ChatNotificationSettings, Digest, Notice, NoticeFacts, NotificationLevel, NotificationSettings,
    PATIENCE, QuietHours, Verdict, is_critical, mentions,
};
pub use origin::Origin;
pub use page::{PAGE_DEFAULT, PAGE_MAX, Page, PageArgs, PageError, Slice, Stop};
pub use participant::{Participant, Role};
pub use permission::{Action, Capacity, Decision, Standing, decide};
pub use receipt::{Receipt, ReceiptKind};
pub use refusal::{Refusal, RefusalCode};
pub use revocation::{Revocation, TOKEN_ID_MAX_CHARS, checked_token_id};
pub use signal::{ChatSignal, Presence, Signal};
pub use sink::{Feeds, RegisteredSink, SINK_NAME_MAX_CHARS, SinkId, SinkKind};
pub use star::{StarPlace, StarredMessage};
pub use user::{Profile, TenantId, USER_ID_MAX_CHARS, User, UserId, fingerprint};
