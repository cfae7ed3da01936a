//! Receipts: who has read a message and whom it has reached.

use async_graphql::parser::types::Field;
use async_graphql::{Context, InputObject, Object, Result, ScalarType as _, SimpleObject, Value};

use super::at_once::{AtOnce, Look};
use super::connection::Listed;
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::payload::outcome;
use super::scalar::DateTime;
use super::user::User;
use crate::model::{ListCursor, Operation, Receipt};

/// That somebody has read a message, or that it has reached them.
#[derive(Debug, Clone)]
pub(super) struct MessageReceipt(Receipt);

impl From<Receipt> for MessageReceipt {
    fn from(receipt: Receipt) -> Self {
        Self(receipt)
    }
}

impl Listed for MessageReceipt {
    fn place(&self) -> ListCursor {
        ListCursor::Participant(self.0.joined_at, self.0.user.clone())
    }
}

impl AtOnce for MessageReceipt {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        Some(match field.name.node.as_str() {
            "user" => {
                let user = User::new(self.0.user.clone());
                return look.object(&user, &field.selection_set.node);
            }
            "at" => self
                .0
                .at
                .map_or(Value::Null, |at| DateTime::from(at).to_value()),
            _ => return None,
        })
    }
}

/// That somebody has read a message, or that it has reached them.
#[Object]
impl MessageReceipt {
    /// Who.
    async fn user(&self) -> User {
        User::new(self.0.user.clone())
    }

    /// When they read it, or when it reached them. Null where that is not known any more.
    async fn at(&self) -> Option<DateTime> {
        self.0.at.map(DateTime::from)
    }
}

/// Whether to show one's receipts.
#[derive(Debug, InputObject)]
struct SetReceiptVisibilityInput {
    /// Whether others may see what the viewer has read and received, and the viewer what others have.
    visible: bool,
}

/// What came of showing one's receipts or not.
#[derive(Debug, SimpleObject)]
struct SetReceiptVisibilityPayload {
    /// The viewer as they are now. Null where `userErrors` says why.
    viewer: Option<User>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutation of receipts.
#[derive(Debug, Default)]
pub(super) struct ReceiptMutation;

#[Object]
impl ReceiptMutation {
    /// Has others see what the viewer has read and received, or nobody. Who does not show it does not see it of others
    /// either: `readBy` and `deliveredTo` are empty then, and `lastReadMessage` and `lastDeliveredMessage` are null.
    async fn set_receipt_visibility(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether to show one's receipts.")] input: SetReceiptVisibilityInput,
    ) -> Option<Result<SetReceiptVisibilityPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::SetReceiptVisibility)?;
            let set = app.receipts_set_visible(actor, input.visible).await;
            let (done, user_errors) = outcome(set)?;
            let viewer = done.map(|()| User::new(actor.user.clone()));
            Ok(Some(SetReceiptVisibilityPayload {
                viewer,
                user_errors,
            }))
        })
        .await
    }
}
