//! Receipts: who has read a message and whom it has reached. Who does not show theirs sees none of others'.

use std::collections::HashMap;
use std::time::Duration;

use chrono::DateTime;
use tokio_util::sync::CancellationToken;

use super::messages::{Place, by_page, seen};
use super::{Actor, App, Error};
use crate::model::{Page, PageError, Receipt, ReceiptKind, Slice, UserId};
use crate::store::participants::JoinedKey;
use crate::store::{self, Connection};

/// The most messages whose receipts of a kind are read for one answer: for each, everybody in its chat may be looked at.
const MESSAGES_MAX: usize = 100;

/// A page of the receipts of a message.
pub type ReceiptPage = (Place, Page<JoinedKey>);

impl App {
    /// For each of the messages at these places, those in chats that the actor sees, the page that is wanted of its receipts,
    /// in the order in which people joined.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] where that is more than 100 messages, or than 2000 people; [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn receipts(
        &self,
        actor: &Actor,
        kind: ReceiptKind,
        wanted: &[ReceiptPage],
    ) -> Result<HashMap<ReceiptPage, Slice<Receipt>>, Error> {
        if wanted.len() > MESSAGES_MAX {
            return Err(PageError::TooLong(wanted.len(), MESSAGES_MAX).into());
        }
        let by_page = by_page(wanted)?;
        let mut conn = self.connection_for(actor).await?;
        let mut pages = HashMap::with_capacity(wanted.len());
        if !shows(&mut conn, actor).await? {
            return Ok(pages);
        }
        for (page, messages) in by_page {
            let messages = seen(&mut conn, actor, &messages).await?;
            for (message, slice) in slices(&mut conn, actor, kind, &messages, &page).await? {
                pages.insert((message, page.clone()), slice);
            }
        }
        Ok(pages)
    }

    /// Has the actor show to others what they have read and received, or not. Who does not show it does not see it of
    /// others either.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn receipts_set_visible(&self, actor: &Actor, visible: bool) -> Result<(), Error> {
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        if store::receipts::set_visible(&mut conn, tenant, user, visible).await? {
            self.realtime.people().forget(tenant, user);
        }
        Ok(())
    }
}

/// How many old rows go together, and how often it is looked for some.
const TOGETHER: i64 = 5000;
const EVERY: Duration = Duration::from_mins(10);

impl App {
    /// Forgets, from time to time, when marks moved that moved long ago, until `shutdown`.
    pub async fn receipts_tend(&self, shutdown: CancellationToken) {
        let tending = async {
            loop {
                // Servers that started together need not come together.
                tokio::time::sleep(EVERY.mul_f64(0.5 + fastrand::f64())).await;
                if let Err(error) = self.receipts_forget().await {
                    tracing::warn!(%error, "old receipts are not removed");
                }
            }
        };
        tokio::select! {
            () = tending => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Forgets when marks moved that moved longer ago than is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn receipts_forget(&self) -> Result<(), Error> {
        let kept = self.limits.receipt_retention;
        let kept = chrono::Duration::from_std(kept).unwrap_or(chrono::Duration::MAX);
        let Some(before) = self.clock.now().checked_sub_signed(kept) else {
            return Ok(());
        };
        // Postgres' times do not reach as far as ours.
        let before = before.max(DateTime::UNIX_EPOCH);
        loop {
            let mut conn = self.connection().await?;
            let removed = store::receipts::forget(&mut conn, before, TOGETHER).await?;
            if i64::try_from(removed).is_ok_and(|removed| removed < TOGETHER) {
                return Ok(());
            }
        }
    }
}

/// Whether the actor shows theirs, and so sees those of others.
pub(super) async fn shows(conn: &mut Connection, actor: &Actor) -> Result<bool, Error> {
    let me: &[UserId] = std::slice::from_ref(&actor.user);
    let me = store::users::by_ids(conn, &actor.tenant, me).await?;
    Ok(me.first().is_some_and(|user| user.receipts_visible))
}

async fn slices(
    conn: &mut Connection,
    actor: &Actor,
    kind: ReceiptKind,
    messages: &[Place],
    page: &Page<JoinedKey>,
) -> Result<Vec<(Place, Slice<Receipt>)>, Error> {
    let tenant = &actor.tenant;
    let read = store::receipts::page(conn, tenant, kind, messages, page).await?;
    let around = if page.after.is_none() && page.before.is_none() {
        Vec::new()
    } else {
        store::receipts::around(conn, tenant, kind, messages, page).await?
    };
    let mut of_messages: HashMap<Place, Vec<Receipt>> = HashMap::new();
    for (message, receipt) in read {
        of_messages.entry(message).or_default().push(receipt);
    }
    let slice = |message: &Place| {
        let mut receipts = of_messages.remove(message).unwrap_or_default();
        receipts.sort_unstable_by(|one, other| {
            (one.joined_at, &one.user).cmp(&(other.joined_at, &other.user))
        });
        if page.from_end {
            receipts.reverse();
        }
        let flags = around.iter().find(|(of, ..)| of == message);
        let (before, behind) =
            flags.map_or((false, false), |(_, before, behind)| (*before, *behind));
        (*message, Slice::new(page, receipts, before, behind))
    };
    Ok(messages.iter().map(slice).collect())
}
