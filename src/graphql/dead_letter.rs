//! Dead letters: the administrators' list, and its mutation.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};

use super::connection::{Listed, PageInfo, page_info};
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::payload::outcome;
use super::scalar::DateTime;
use crate::model::{self, ListCursor, ListKey, Operation, Slice};

/// Why the last try to deliver something failed.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "model::FailureKind")]
enum DeliveryFailure {
    /// There was no connection.
    Unreachable,
    /// The sink's name leads to an address that nothing may be sent to.
    AddressNotAllowed,
    /// The sink did not prove who it is.
    Tls,
    /// It took too long.
    TimedOut,
    /// The exchange broke off.
    BrokenOff,
    /// The sink refused it for now.
    RefusedForNow,
    /// The sink refused it, and would refuse it again.
    RefusedForGood,
    /// It could not be put into what the sink takes.
    NotSent,
    /// The server that tried it stopped or died.
    ServerDied,
}

/// Something that was to be delivered to a sink and was given up.
#[derive(Debug, Clone)]
struct DeadLetter(model::DeadLetter);

impl Listed for DeadLetter {
    fn place(&self) -> ListCursor {
        ListCursor::Message(self.0.id)
    }
}

/// Something that was to be delivered to a sink and was given up.
#[Object]
impl DeadLetter {
    /// Its id, for `replayDeadLetters`.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The name of the sink.
    async fn sink(&self) -> &str {
        &self.0.sink
    }

    /// The id under which the sink would have got it.
    async fn delivery_id(&self) -> String {
        self.0.delivery_id()
    }

    /// The id of the chat that it is about.
    async fn chat_id(&self) -> ID {
        self.0.chat_id.to_string().into()
    }

    /// Whom the notification was for. Null where it is an event.
    async fn recipient_id(&self) -> Option<ID> {
        let recipient = self.0.recipient.as_ref();
        recipient.map(|user| user.as_str().into())
    }

    /// How many times it was tried.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// Why the last try failed.
    async fn failure(&self) -> DeliveryFailure {
        self.0.failure.into()
    }

    /// What the sink answered then: a status of HTTP, or a code of SMTP. Null where it said nothing.
    async fn status(&self) -> Option<i32> {
        self.0.status.map(i32::from)
    }

    /// When it was first to be delivered.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it was given up.
    async fn died_at(&self) -> DateTime {
        self.0.died_at.into()
    }
}

/// A page of the dead letters of the viewer's tenant.
#[derive(Debug)]
pub(super) struct DeadLetterConnection {
    list: ListKey,
    slice: Slice<DeadLetter>,
}

impl DeadLetterConnection {
    pub(super) fn new(list: ListKey, slice: Slice<model::DeadLetter>) -> Self {
        Self {
            list,
            slice: slice.map(DeadLetter),
        }
    }
}

/// A page of the dead letters of the viewer's tenant.
#[Object]
impl DeadLetterConnection {
    /// The page's dead letters, each with its cursor.
    async fn edges(&self) -> Vec<DeadLetterEdge> {
        let edge = |letter: &DeadLetter| DeadLetterEdge {
            cursor: letter.place().encode(&self.list),
            node: letter.clone(),
        };
        self.slice.items.iter().map(edge).collect()
    }

    /// The page's dead letters.
    async fn nodes(&self) -> Vec<DeadLetter> {
        self.slice.items.clone()
    }

    /// Where the page stands in the list.
    async fn page_info(&self) -> PageInfo {
        page_info(&self.slice, &self.list)
    }
}

/// A dead letter in the list of the viewer's tenant.
#[derive(Debug, SimpleObject)]
struct DeadLetterEdge {
    /// The dead letter's place in the list, for `after` and `before`. It is opaque, and works only for this list.
    cursor: String,
    /// The dead letter.
    node: DeadLetter,
}

/// Which dead letters to try again.
#[derive(Debug, InputObject)]
struct ReplayDeadLettersInput {
    /// Their ids, at most 100.
    ids: Vec<ID>,
}

/// What came of having dead letters tried again.
#[derive(Debug, SimpleObject)]
struct ReplayDeadLettersPayload {
    /// The ids of those that are tried again: what is not there any more is none of them, and what the sink of is not there
    /// stays. Null where `userErrors` says why.
    replayed_ids: Option<Vec<ID>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutation of dead letters.
#[derive(Debug, Default)]
pub(super) struct DeadLetterMutation;

#[Object]
impl DeadLetterMutation {
    /// Has dead letters be delivered again, behind what waits for the same target: for administrators of the tenant. They
    /// have the ids that they had, so whoever has got one already knows it.
    async fn replay_dead_letters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which dead letters.")] input: ReplayDeadLettersInput,
    ) -> Option<Result<ReplayDeadLettersPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::ReplayDeadLetters)?;
            // A malformed id is an id of nothing.
            let ids = input.ids.iter().map(|id| id.parse().unwrap_or(-1));
            let ids: Vec<i64> = ids.collect();
            let (replayed, user_errors) = outcome(app.dead_letters_replay(actor, &ids).await)?;
            let replayed = replayed.map(|ids| ids.into_iter().map(ID::from).collect());
            Ok(Some(ReplayDeadLettersPayload {
                replayed_ids: replayed,
                user_errors,
            }))
        })
        .await
    }
}
