//! Admissions: reading what a subscription begins with, for many at once.
//!
//! Membership, head and the logs' life are read in one statement, so they fit each other. While one read is
//! under way, further wishes gather for the next: when thousands subscribe at once, it takes few statements.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::hub::{Hub, ReadError};
use crate::model::{ChatId, ChatState, TenantId, UserId};
use crate::store::{self, Connection, chats::Membership};

/// How many wishes one read serves at most.
const WISHES: usize = 512;

/// Why an admission was not read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdmissionError {
    /// The database cannot be read.
    #[error("the database cannot be read: {0}")]
    Read(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The engine stops.
    #[error("the server is stopping")]
    Stopping,
}

/// What a subscription begins with: the chat as its participant sees it, if they are in it, and the life of
/// the database's logs.
pub type Admission = (Option<ChatState>, Option<Uuid>);

/// Where wishes are left.
#[derive(Debug, Clone)]
pub(super) struct Admissions(mpsc::Sender<Wish>);

/// The wishes that were left.
pub(super) type Wishes = mpsc::Receiver<Wish>;

#[derive(Debug)]
pub(super) struct Wish {
    tenant: TenantId,
    of: Membership,
    answer: oneshot::Sender<Result<Admission, AdmissionError>>,
}

impl Admissions {
    pub(super) fn new() -> (Self, Wishes) {
        let (sender, wishes) = mpsc::channel(WISHES);
        (Self(sender), wishes)
    }

    pub(super) async fn read(
        &self,
        tenant: &TenantId,
        user: &UserId,
        chat: ChatId,
    ) -> Result<Admission, AdmissionError> {
        let (answer, admission) = oneshot::channel();
        let wish = Wish {
            tenant: tenant.clone(),
            of: (chat, user.clone()),
            answer,
        };
        let left = self.0.send(wish).await;
        left.or(Err(AdmissionError::Stopping))?;
        admission.await.or(Err(AdmissionError::Stopping))?
    }
}

/// Reads what is wished for until the engine stops.
pub(super) async fn run(hub: Arc<Hub>, mut wishes: Wishes) {
    let read = async {
        let mut batch = Vec::new();
        while wishes.recv_many(&mut batch, WISHES).await > 0 {
            serve(&hub, std::mem::take(&mut batch)).await;
        }
    };
    tokio::select! {
        () = read => {}
        () = hub.shutdown.cancelled() => {}
    }
}

async fn serve(hub: &Hub, mut wishes: Vec<Wish>) {
    wishes.retain(|wish| !wish.answer.is_closed());
    let mut by_tenant: HashMap<TenantId, Vec<Wish>> = HashMap::new();
    for wish in wishes {
        by_tenant.entry(wish.tenant.clone()).or_default().push(wish);
    }
    for (tenant, wishes) in by_tenant {
        let read = read(hub, &tenant, &wishes).await;
        let read = read.map_err(|error| AdmissionError::Read(Arc::new(error)));
        for wish in wishes {
            let admission = read.as_ref().map(|(states, epoch)| {
                let state = states.get(&wish.of).cloned();
                (state, *epoch)
            });
            // Whoever asked may have gone.
            wish.answer.send(admission.map_err(Clone::clone)).ok();
        }
    }
}

type Found = (HashMap<Membership, ChatState>, Option<Uuid>);

async fn read(hub: &Hub, tenant: &TenantId, wishes: &[Wish]) -> Result<Found, ReadError> {
    let wanted: Vec<Membership> = wishes.iter().map(|wish| wish.of.clone()).collect();
    let read = async |conn: &mut Connection| store::chats::states_of(conn, tenant, &wanted).await;
    let rows = hub.with_connection_for(tenant, read).await?;
    let epoch = rows.first().and_then(|(_, epoch)| *epoch);
    if let Some(epoch) = epoch {
        hub.observe_epoch(epoch);
    }
    let states = rows.into_iter().filter_map(|(state, _)| {
        let of = (state.chat.id, state.viewer.as_ref()?.user_id.clone());
        Some((of, state))
    });
    Ok((states.collect(), epoch))
}
