//! The hub's reader: one at a time, it reads what all tails lack in one statement.

use diesel::result::Error;

use super::{Arc, BackOff, ChatId, Event, HashMap, Hub, LogRange, Read, ReadError, Task};
use std::time::Instant;

use crate::store::Connection;
use crate::store::events::LogEntry;

/// How many logs one statement reads at most: after a long outage all may be behind, and what is too much for
/// one statement must not be tried again and again.
const LOGS_MOST: usize = 256;

impl Hub {
    /// Reads what tails lack, until the engine stops.
    pub(in crate::realtime) async fn read_on(self: Arc<Self>) {
        let mut back_off = BackOff::new(self.options.back_off);
        let read = async {
            loop {
                let tasks = self.take_behind();
                if tasks.is_empty() {
                    self.behind.notified().await;
                } else if self.catch_up(tasks).await {
                    back_off.reset();
                } else {
                    back_off.wait().await;
                }
            }
        };
        tokio::select! {
            () = read => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Reads what tails lack; says whether that went well. What failed is asked for again.
    async fn catch_up(&self, tasks: Vec<Task>) -> bool {
        let ranges: Vec<LogRange> = tasks.iter().map(|(range, _)| range.clone()).collect();
        match self.read(&ranges).await {
            Ok(events) => {
                self.append(tasks, events);
                true
            }
            // An entry that is not understood, of a later version perhaps, must hold up no other log.
            Err(ReadError::Query(Error::DeserializationError(_))) => {
                let mut all_well = true;
                for task in tasks {
                    all_well &= self.catch_up_alone(task).await;
                }
                all_well
            }
            Err(error) => {
                tracing::warn!(%error, "the hub cannot read the log");
                self.fail(&tasks);
                false
            }
        }
    }

    async fn catch_up_alone(&self, task: Task) -> bool {
        match self.read(std::slice::from_ref(&task.0)).await {
            Ok(events) => {
                self.append(vec![task], events);
                true
            }
            Err(error @ ReadError::Query(Error::DeserializationError(_))) => {
                let (range, read) = task;
                let chat = range.chat_id;
                tracing::error!(%chat, %error, "the hub does not understand a log");
                // The next sweep finds it behind again, and takes it up once it is mended.
                if let Some(chat) = self.state().chats.get_mut(&chat) {
                    chat.log.give_up(read);
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the hub cannot read the log");
                self.fail(&[task]);
                false
            }
        }
    }

    pub(super) fn take_behind(&self) -> Vec<Task> {
        let mut state = self.state();
        let mut tasks = Vec::new();
        while tasks.len() < LOGS_MOST {
            let Some(id) = state.behind.iter().next().copied() else {
                break;
            };
            state.behind.remove(&id);
            let Some(chat) = state.chats.get_mut(&id) else {
                continue;
            };
            let Some(missing) = chat.log.take() else {
                continue;
            };
            let range = LogRange {
                tenant: chat.tenant.clone(),
                chat_id: id,
                after: missing.after,
            };
            tasks.push((range, missing));
        }
        tasks
    }

    /// Reads parts of logs. Who sent what is remembered for a moment.
    pub(in crate::realtime) async fn read(
        &self,
        ranges: &[LogRange],
    ) -> Result<Vec<Event>, ReadError> {
        let limit = i64::from(self.options.batch);
        let since = Instant::now();
        let read =
            async |conn: &mut Connection| crate::store::events::read(conn, ranges, limit).await;
        let read = self.with_connection(read).await?.into_iter();
        let events = read.map(|LogEntry { event, sender }| {
            if let Some((tenant, sender)) = sender {
                self.people.learn(&tenant, Arc::new(sender), since);
            }
            event
        });
        Ok(events.collect())
    }

    pub(super) fn append(&self, tasks: Vec<Task>, events: Vec<Event>) {
        let mut read: HashMap<ChatId, Vec<Event>> = HashMap::new();
        for event in events {
            read.entry(event.chat_id).or_default().push(event);
        }
        let mut state = self.state();
        for (range, missing) in tasks {
            let id = range.chat_id;
            let Some(chat) = state.chats.get_mut(&id) else {
                continue;
            };
            let before = chat.log.last();
            let events = read.remove(&id).unwrap_or_default();
            let outcome = chat.log.append(missing, events, self.options.ring);
            if chat.log.last() != before {
                chat.wake.send_replace(());
            }
            match outcome {
                Read::Done => {}
                Read::Again => {
                    state.behind.insert(id);
                }
                Read::NothingThere => {
                    tracing::warn!(chat = %id, "a hint told of more than the log holds");
                }
            }
        }
    }

    fn fail(&self, tasks: &[Task]) {
        let mut state = self.state();
        for (range, read) in tasks {
            let id = range.chat_id;
            let chat = state.chats.get_mut(&id);
            if chat.is_some_and(|chat| chat.log.fail(*read)) {
                state.behind.insert(id);
            }
        }
    }
}
