//! People.

use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::{Context, ID, Object, Result, Value};

use super::at_once::{AtOnce, Look};
use super::connection::page_args;
use super::context::{ContextExt as _, nullable};
use super::error::to_graphql;
use super::notification::NotificationSettings;
use super::star::StarredMessageConnection;
use crate::app::App;
use crate::model::{self, Operation, UserId};

/// A person, known by the id that the application's own identity provider gave them.
#[derive(Debug, Clone)]
pub(super) struct User {
    id: UserId,
    row: Option<Arc<model::User>>,
}

impl User {
    /// Someone who exists, read only when more than the id is asked for.
    pub(super) fn new(id: UserId) -> Self {
        Self { id, row: None }
    }

    async fn row(&self, ctx: &Context<'_>) -> Result<Option<Arc<model::User>>> {
        match &self.row {
            Some(row) => Ok(Some(Arc::clone(row))),
            None => ctx.loaders()?.user(&self.id).await,
        }
    }
}

impl From<Arc<model::User>> for User {
    fn from(row: Arc<model::User>) -> Self {
        Self {
            id: row.id.clone(),
            row: Some(row),
        }
    }
}

impl AtOnce for User {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        let shown = |show: fn(&model::User) -> Option<&str>| {
            let value = |row: Option<&model::User>| look.text(row.and_then(show));
            match &self.row {
                Some(row) => Some(value(Some(row))),
                None => look.person(&self.id, value),
            }
        };
        Some(match field.name.node.as_str() {
            "id" => self.id.as_str().into(),
            "displayName" => return shown(|row| row.display_name.as_deref()),
            "avatarUrl" => return shown(|row| row.avatar_url.as_deref()),
            _ => return None,
        })
    }
}

/// A person, known by the id that the application's own identity provider gave them.
#[Object]
impl User {
    /// The subject of the person's tokens, as the application knows it.
    pub(super) async fn id(&self) -> ID {
        ID(self.id.as_str().to_owned())
    }

    /// The name of the newest token that carried one. Null until then.
    async fn display_name(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        nullable(async {
            let row = self.row(ctx).await?;
            ctx.text(row.and_then(|row| row.display_name.clone()))
                .transpose()
        })
        .await
    }

    /// The address of the picture of the newest token that carried one. Null until then.
    async fn avatar_url(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        nullable(async {
            let row = self.row(ctx).await?;
            ctx.text(row.and_then(|row| row.avatar_url.clone()))
                .transpose()
        })
        .await
    }

    /// The messages that the viewer has starred, of live chats that they are in, the newest star first. Without `first`
    /// and `last` it is `first: 50`; more than 100 is refused. Null for everyone but the viewer.
    async fn starred_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only messages behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only messages in front of this cursor of the list.")] before: Option<
            String,
        >,
    ) -> Option<Result<StarredMessageConnection>> {
        // Boxed, because a field's future has room for the largest of its type.
        Box::pin(nullable(async {
            let actor = ctx.actor()?;
            if actor.user != self.id {
                return Ok(None);
            }
            ctx.permit(Operation::Message)?;
            let args = page_args(first, after, last, before);
            let page = ctx.app()?.stars_page(actor, &args).await;
            let list = App::stars_key(actor);
            let page = page.map_err(to_graphql)?;
            Ok(Some(StarredMessageConnection::new(list, page)))
        }))
        .await
    }

    /// Whether the person shows others what they have read and received, and sees it of them. Null for everyone but the
    /// viewer.
    async fn receipts_visible(&self, ctx: &Context<'_>) -> Option<Result<bool>> {
        nullable(async {
            if ctx.actor()?.user != self.id {
                return Ok(None);
            }
            let row = self.row(ctx).await?;
            Ok(row.map(|row| row.receipts_visible))
        })
        .await
    }

    /// Of what the viewer is notified while they are away. Null for everyone but the viewer.
    async fn notification_settings(
        &self,
        ctx: &Context<'_>,
    ) -> Option<Result<NotificationSettings>> {
        // Boxed, because a field's future has room for the largest of its type.
        Box::pin(nullable(async {
            let actor = ctx.actor()?;
            if actor.user != self.id {
                return Ok(None);
            }
            let settings = ctx.app()?.notification_settings(actor).await;
            Ok(Some(settings.map_err(to_graphql)?.into()))
        }))
        .await
    }

    /// Whether the person shows others whether they are online. Null for everyone but the viewer.
    async fn presence_visible(&self, ctx: &Context<'_>) -> Option<Result<bool>> {
        nullable(async {
            if ctx.actor()?.user != self.id {
                return Ok(None);
            }
            let row = self.row(ctx).await?;
            Ok(row.map(|row| row.presence_visible))
        })
        .await
    }
}
