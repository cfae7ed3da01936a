//! The earlier texts of a message.

use async_graphql::parser::types::Field;
use async_graphql::{Context, Object, Result, ScalarType as _, Value};

use super::at_once::{AtOnce, Look};
use super::connection::Listed;
use super::context::ContextExt as _;
use super::scalar::DateTime;
use super::user::User;
use crate::model::{self, ListCursor};

/// An earlier text of an edited message.
#[derive(Debug, Clone)]
pub(super) struct MessageRevision(model::Revision);

impl From<model::Revision> for MessageRevision {
    fn from(revision: model::Revision) -> Self {
        Self(revision)
    }
}

impl Listed for MessageRevision {
    fn place(&self) -> ListCursor {
        ListCursor::Message(self.0.seq)
    }
}

impl AtOnce for MessageRevision {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        Some(match field.name.node.as_str() {
            "body" => look.text(Some(&self.0.body)),
            "subject" => look.text(self.0.subject.as_deref()),
            "replacedAt" => DateTime::from(self.0.replaced_at).to_value(),
            "replacedBy" => {
                let by = User::new(self.0.replaced_by.clone()?);
                return look.object(&by, &field.selection_set.node);
            }
            _ => return None,
        })
    }
}

/// An earlier text of an edited message.
#[Object]
impl MessageRevision {
    /// The text. Null only where the answer has no room for it, with an error then.
    async fn body(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        ctx.text(Some(self.0.body.as_str()))
    }

    /// The line above it. Null where there was none.
    async fn subject(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        ctx.text(self.0.subject.as_deref())
    }

    /// When the next text took its place.
    async fn replaced_at(&self) -> DateTime {
        self.0.replaced_at.into()
    }

    /// Who edited the message then. Null where that is not known.
    async fn replaced_by(&self) -> Option<User> {
        self.0.replaced_by.clone().map(User::new)
    }
}
