//! Delivery marks: gathered in the process, and written together. There is never a write for each delivery.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{Full, Marks, Signals, lock};
use crate::model::{ChatId, UserId};
use crate::realtime::BackOff;
use crate::realtime::hub::ReadError;
use crate::store::marks::{DeliveryMark, deliver};

/// The most participants whose marks may wait.
const WAITING_MAX: usize = 100_000;

/// How many marks are written in one statement.
const SLICE: usize = 5_000;

/// How often the marks that wait when the engine stops are tried to be written.
const LAST_TRIES: usize = 3;

type Waiting = HashMap<(ChatId, UserId), DeliveryMark>;

/// The marks that wait to be written: of each participant the newest.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    waiting: Mutex<Waiting>,
    gathered: Notify,
}

impl Deliveries {
    pub(super) fn take_in(&self, marks: Vec<DeliveryMark>) -> Result<(), Full> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() + marks.len() > WAITING_MAX {
            return Err(Full);
        }
        add(&mut waiting, marks);
        drop(waiting);
        self.gathered.notify_one();
        Ok(())
    }

    fn take_out(&self) -> Vec<DeliveryMark> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.into_values().collect()
    }

    fn put_back(&self, marks: Vec<DeliveryMark>) {
        add(&mut lock(&self.waiting), marks);
    }
}

fn add(waiting: &mut Waiting, marks: Vec<DeliveryMark>) {
    for mark in marks {
        let key = (mark.chat_id, mark.user_id.clone());
        let seq = mark.seq;
        let newest = waiting.entry(key).or_insert(mark);
        newest.seq = newest.seq.max(seq);
    }
}

/// Writes what gathers until the engine stops, and then what still waits.
pub(super) async fn run(signals: Arc<Signals>) {
    let mut back_off = BackOff::new(signals.options.back_off);
    let shutdown = signals.shutdown.clone();
    while shutdown
        .run_until_cancelled(signals.gather())
        .await
        .is_some()
    {
        // The writing itself is not cut off by the stop: what is taken out would be lost.
        if signals.write().await {
            back_off.reset();
        } else {
            signals.deliveries.gathered.notify_one();
            shutdown.run_until_cancelled(back_off.wait()).await;
        }
    }
    for _ in 0..LAST_TRIES {
        if signals.write().await {
            return;
        }
    }
    tracing::error!("delivery marks are lost: clients acknowledge them again");
}

impl Signals {
    /// Waits until marks have gathered.
    async fn gather(&self) {
        self.deliveries.gathered.notified().await;
        sleep(self.options.signals.gather).await;
    }

    /// Writes what waits; says whether that went well. What could not be written waits on.
    async fn write(&self) -> bool {
        let mut marks = self.deliveries.take_out();
        while !marks.is_empty() {
            let rest = marks.split_off(marks.len().min(SLICE));
            let written = timeout(self.options.patience, self.write_slice(&marks)).await;
            let error = match written {
                Ok(Ok(())) => {
                    marks = rest;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(elapsed) => elapsed.to_string(),
            };
            tracing::warn!(error, "delivery marks cannot be written");
            self.deliveries.put_back(marks);
            self.deliveries.put_back(rest);
            return false;
        }
        true
    }

    async fn write_slice(&self, marks: &[DeliveryMark]) -> Result<(), ReadError> {
        let mut conn = self.pool.get().await?;
        let moved = deliver(&mut conn, marks).await?;
        drop(conn);
        for (chat, user, seq, shown) in moved {
            if !shown {
                continue;
            }
            let marks = Marks {
                delivered: seq,
                ..Marks::default()
            };
            self.tell_marks(chat, &user, marks);
        }
        Ok(())
    }
}
