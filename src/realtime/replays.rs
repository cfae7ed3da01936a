//! Replays: reading pages of logs for subscribers whose place has left the ring, many at once.
//!
//! While one read is under way, further wishes gather; the next read serves them all, and those of one chat
//! share pages. So when thousands resume at once, the number of statements follows the chats, not them. Who
//! asks is never served from a read that began before: what they get reads as it is now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel::result::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::hub::{Hub, ReadError};
use super::subscriber::{Batch, Moment};
use crate::model::{ChatId, Event};
use crate::store::events::LogRange;

/// How many wishes one read serves at most.
const WISHES: usize = 1024;

/// How many pages one statement reads at most.
const PAGES: usize = 32;

/// How long ends of logs are remembered behind the last read, and how many at most.
const REMEMBERED: Duration = Duration::from_secs(1);
const ENDS: usize = 128;

/// The ends of logs as they were last read, and the first of the reads in which they read so. Whoever gets the
/// same events from a later read gets the same answers, which are then not made again.
type Ends = HashMap<ChatId, (u64, Vec<Arc<Event>>)>;

/// Where wishes are left.
#[derive(Debug, Clone)]
pub(super) struct Replays(mpsc::Sender<Wish>);

/// The wishes that were left.
pub(super) type Wishes = mpsc::Receiver<Wish>;

/// A wish to read what stands behind a place, and where to send it.
#[derive(Debug)]
pub(super) struct Wish {
    range: LogRange,
    answer: oneshot::Sender<Batch>,
}

/// A page to read, and the wishes it serves: those of one chat that stand near each other.
#[derive(Debug)]
struct Page {
    range: LogRange,
    wishes: Vec<Wish>,
}

impl Replays {
    pub(super) fn new() -> (Self, Wishes) {
        let (sender, wishes) = mpsc::channel(WISHES);
        (Self(sender), wishes)
    }

    /// The entries behind a place of a log; `None` where they could not be read now.
    pub(super) async fn read(&self, range: LogRange) -> Option<Batch> {
        let (answer, batch) = oneshot::channel();
        self.0.send(Wish { range, answer }).await.ok()?;
        batch.await.ok()
    }
}

/// Reads what is wished for until the engine stops.
pub(super) async fn run(hub: Arc<Hub>, mut wishes: Wishes) {
    let read = async {
        let mut reads = 0;
        let mut batch = Vec::new();
        let mut ends = Ends::new();
        while receive(&mut wishes, &mut batch, &mut ends).await > 0 {
            let mut pages = plan(std::mem::take(&mut batch), hub.options.batch);
            while !pages.is_empty() {
                reads += 1;
                let some = pages.split_off(pages.len().saturating_sub(PAGES));
                serve(&hub, some, reads, &mut ends).await;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = hub.shutdown.cancelled() => {}
    }
}

/// Waits for wishes, and forgets the ends of logs where none come for a while. Says how many came.
async fn receive(wishes: &mut Wishes, batch: &mut Vec<Wish>, ends: &mut Ends) -> usize {
    if !ends.is_empty() {
        if let Ok(count) = timeout(REMEMBERED, wishes.recv_many(batch, WISHES)).await {
            return count;
        }
        *ends = Ends::new();
    }
    wishes.recv_many(batch, WISHES).await
}

/// Puts wishes together to few pages. A page begins at its first wish, and serves who stands in its first
/// half: so everybody gets half a page at least, where the log has so much.
fn plan(mut wishes: Vec<Wish>, page: u16) -> Vec<Page> {
    wishes.retain(|wish| !wish.answer.is_closed());
    wishes.sort_by_key(|wish| (wish.range.chat_id, wish.range.after));
    let reach = i64::from(page / 2);
    let mut pages: Vec<Page> = Vec::new();
    for wish in wishes {
        let (chat, after) = (wish.range.chat_id, wish.range.after);
        match pages.last_mut() {
            Some(last)
                if last.range.chat_id == chat
                    && last.range.tenant == wish.range.tenant
                    && after - last.range.after <= reach =>
            {
                last.wishes.push(wish);
            }
            _ => pages.push(Page {
                range: wish.range.clone(),
                wishes: vec![wish],
            }),
        }
    }
    pages
}

/// Reads pages in one statement and answers the wishes. What fails is answered by hanging up.
async fn serve(hub: &Hub, pages: Vec<Page>, number: u64, ends: &mut Ends) {
    let ranges: Vec<LogRange> = pages.iter().map(|page| page.range.clone()).collect();
    match hub.read(&ranges).await {
        Ok(events) => answer(pages, events, number, hub.options.batch, ends),
        // A log that is not understood must not keep the others from being read.
        Err(ReadError::Query(Error::DeserializationError(_))) if pages.len() > 1 => {
            for page in pages {
                Box::pin(serve(hub, vec![page], number, ends)).await;
            }
        }
        Err(error) => tracing::warn!(%error, "subscribers cannot read the log"),
    }
}

fn answer(pages: Vec<Page>, events: Vec<Event>, number: u64, limit: u16, ends: &mut Ends) {
    let mut read: HashMap<ChatId, Vec<Arc<Event>>> = HashMap::new();
    for event in events {
        let of_chat = read.entry(event.chat_id).or_default();
        // Pages of one chat overlap, and were read in one statement.
        if of_chat.last().is_none_or(|last| last.seq < event.seq) {
            of_chat.push(Arc::new(event));
        }
    }
    for page in pages {
        let entries = read.get(&page.range.chat_id);
        let number = entries.map_or(number, |events| {
            moment(page.range.chat_id, events, number, limit, ends)
        });
        for wish in page.wishes {
            let events = entries.map_or(&[][..], Vec::as_slice);
            let batch = Batch {
                events: behind(events, wish.range.after),
                moment: Moment::Replay(number),
            };
            // Whoever asked may have gone.
            wish.answer.send(batch).ok();
        }
    }
}

/// The number of the first read in which a log's end read as it does now: of this one, or of an earlier one
/// since which nothing has been appended, for then nothing that the log tells of has changed either. That
/// cannot be said of a page that is full, behind which there may be more.
fn moment(chat: ChatId, events: &[Arc<Event>], number: u64, limit: u16, ends: &mut Ends) -> u64 {
    if events.len() >= usize::from(limit) {
        return number;
    }
    match ends.get(&chat) {
        Some((first, before)) if before == events => *first,
        _ => {
            if ends.len() >= ENDS {
                ends.clear();
            }
            ends.insert(chat, (number, events.to_vec()));
            number
        }
    }
}

/// What follows a place without a gap.
fn behind(events: &[Arc<Event>], after: i64) -> Vec<Arc<Event>> {
    let next = events.iter().skip_while(|event| event.seq <= after);
    let numbered = next.zip(after + 1..);
    let next = numbered.take_while(|(event, seq)| event.seq == *seq);
    next.map(|(event, _)| Arc::clone(event)).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::TenantId;

    fn wish(chat: u128, after: i64) -> (Wish, oneshot::Receiver<Batch>) {
        let (answer, batch) = oneshot::channel();
        let range = LogRange {
            tenant: TenantId::default(),
            chat_id: ChatId(Uuid::from_u128(chat)),
            after,
        };
        (Wish { range, answer }, batch)
    }

    #[test]
    fn wishes_near_each_other_share_a_page() {
        let places = [(2, 50), (1, 0), (1, 64), (1, 64), (1, 65), (1, 10), (2, 50)];
        let (wishes, _batches): (Vec<_>, Vec<_>) = places
            .into_iter()
            .map(|(chat, after)| wish(chat, after))
            .unzip();
        let pages = plan(wishes, 128);
        let shape: Vec<(i64, usize)> = pages
            .iter()
            .map(|page| (page.range.after, page.wishes.len()))
            .collect();
        assert_eq!(shape, [(0, 4), (65, 1), (50, 2)]);
    }

    fn events(chat: u128, titles: &[&str]) -> Vec<Arc<Event>> {
        let event = |(seq, title): (i64, &&str)| Event {
            chat_id: ChatId(Uuid::from_u128(chat)),
            seq,
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            actor: None,
            change: crate::model::Change::ChatRenamed {
                title: (*title).to_owned(),
            },
            attachments: Vec::new(),
        };
        (1..).zip(titles).map(event).map(Arc::new).collect()
    }

    /// Two pages of one chat overlap: both wishes are served in full.
    #[test]
    fn pages_that_overlap_do_not_cut_each_other() {
        let (wishes, mut batches): (Vec<_>, Vec<_>) = [wish(1, 0), wish(1, 65)].into_iter().unzip();
        let pages = plan(wishes, 128);
        assert_eq!(pages.len(), 2);
        let log = events(1, &["x"; 200]);
        let page = |after: usize| log.iter().skip(after).take(128);
        let mut read: Vec<Event> = page(0)
            .chain(page(65))
            .map(|event| (**event).clone())
            .collect();
        read.sort_by_key(|event| event.seq);
        answer(pages, read, 1, 128, &mut Ends::new());
        for (batch, after) in batches.iter_mut().zip([0, 65]) {
            let seqs: Vec<i64> = batch
                .try_recv()
                .unwrap()
                .events
                .iter()
                .map(|e| e.seq)
                .collect();
            assert_eq!(seqs, (after + 1..=193).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_end_that_reads_as_before_was_read_at_the_same_moment() {
        let mut ends = Ends::new();
        let mut read = |chat, titles: &[&str], number| {
            let id = ChatId(Uuid::from_u128(chat));
            moment(id, &events(chat, titles), number, 3, &mut ends)
        };
        assert_eq!(read(1, &["a", "b"], 1), 1);
        assert_eq!(read(1, &["a", "b"], 2), 1);
        assert_eq!(read(2, &["a", "b"], 2), 2);
        // An entry reads otherwise, or another page is read: it is not known whether more has changed.
        assert_eq!(read(1, &["a", "c"], 3), 3);
        assert_eq!(read(1, &["a"], 4), 4);
        assert_eq!(read(1, &["a"], 5), 4);
        // Behind a full page there may be more, which is not compared.
        assert_eq!(read(1, &["a", "b", "c"], 6), 6);
        assert_eq!(read(1, &["a", "b", "c"], 7), 7);
    }

    #[test]
    fn who_has_gone_is_not_read_for() {
        let (wish, batch) = wish(1, 0);
        drop(batch);
        assert!(plan(vec![wish], 128).is_empty());
    }
}
