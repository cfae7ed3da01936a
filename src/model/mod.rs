//! What the nouns are: ids, rows, validated values, events, the permission table, pages.
//!
//! Pure data and pure functions. Nothing here queries, awaits or knows GraphQL.

mod chat;
mod closed_set;
mod cursor;
mod event;
mod id;
mod message;
mod page;
mod participant;
mod permission;
mod refusal;
mod signal;
mod user;

pub use chat::{
    Chat, ChatFilter, ChatHistory, ChatKind, ChatState, TITLE_MAX_CHARS, Title, visible_from,
};
pub use cursor::{CursorError, EventCursor, ListCursor, ListKey};
pub use event::{Change, Event, EventData, EventKind, NewEvent};
pub use id::{ChatId, IdError, MessageId, NodeId, ParticipantId};
pub use message::{
    BODY_MAX_CHARS, Body, IDEMPOTENCY_KEY_MAX_CHARS, IdempotencyKey, Message, UnreadRange,
};
pub use page::{PAGE_DEFAULT, PAGE_MAX, Page, PageArgs, PageError, Slice};
pub use participant::{Participant, Role};
pub use permission::{Action, Decision, Standing, decide};
pub use refusal::{Refusal, RefusalCode};
pub use signal::{ChatSignal, Presence, Signal};
pub use user::{Profile, TenantId, USER_ID_MAX_CHARS, User, UserId, fingerprint};
