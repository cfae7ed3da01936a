//! One connection: who it is from, its operations, and what comes and goes.
//!
//! All of it is one task that is polled. Each round looks at the ends (shutdown, times), reads one message,
//! lets the operations say something, and writes. Reading goes on while writing is blocked, so that a client
//! can always end an operation; it pauses only where the client asks for answers that it does not take.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::close::Close;
use super::dialect::{Dialect, Says, Wanted};
use super::incoming::{End, Heard, Incoming};
use super::operations::{Operations, Said};
use super::outgoing::Outgoing;
use super::timers::{Due, Timers};
use crate::app::{Error, Network, RateLimited, Session};
use crate::graphql::{Answer, Prepared, refusal_response};
use crate::http::channel::Channel;
use crate::http::connections::Admission;
use crate::http::metrics::Begun;
use crate::http::{HttpState, operation, rates};

/// How many rounds one wake-up may take before other connections get their turn.
const ROUNDS: usize = 32;

/// How many bytes are gathered before they are written.
const BATCH: usize = 4 * 1024;

/// How many bytes of answers to the client's own messages may wait to be taken before no more are read.
const REPLIES: usize = 16 * 1024;

/// How far a connection is.
enum Phase {
    /// `connection_init` has not come.
    Silent,
    /// It has, and its token is looked at.
    Asking(BoxFuture<'static, Result<Option<Session>, Error>>),
    /// The client is acknowledged.
    Known(Box<Known>),
}

/// Who a connection is from.
struct Known {
    session: Option<Session>,
    /// Comes when the token is revoked.
    revoked: Option<BoxFuture<'static, ()>>,
    /// The user's place among the connections.
    _admission: Admission,
}

/// A connection.
pub(super) struct Connection {
    state: HttpState,
    stream: Channel,
    /// Where it comes from.
    network: Option<Box<Network>>,
    incoming: Incoming,
    outgoing: Outgoing,
    dialect: Dialect,
    phase: Phase,
    operations: Operations,
    /// The places of mutations, which those that their client has ended hold as well.
    places: Arc<Semaphore>,
    timers: Timers,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    stopping: bool,
    /// The id of the request for the upgrade.
    request_id: Option<Box<str>>,
}

impl Connection {
    /// A connection that has just been upgraded. `begin` is what was read behind the upgrade.
    pub(super) fn new(
        state: HttpState,
        (stream, begin): (Channel, &[u8]),
        network: Option<Box<Network>>,
        request_id: Option<Box<str>>,
        dialect: Dialect,
    ) -> Self {
        let mut outgoing = Outgoing::default();
        dialect.greet(&state.options, &mut outgoing);
        Self {
            stream,
            network,
            incoming: Incoming::new(begin, state.options.message_max),
            outgoing,
            phase: Phase::Silent,
            operations: Operations::default(),
            places: Arc::new(Semaphore::new(state.options.operations_max)),
            timers: Timers::new(&state.options, dialect.pings_steadily()),
            dialect,
            shutdown: Box::pin(state.shutdown.clone().cancelled_owned()),
            stopping: false,
            request_id,
            state,
        }
    }

    /// Runs until the end, and says how to close; `None` where the peer is gone.
    pub(super) fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..ROUNDS {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts the end of this connection.
    pub(super) fn count_end(&self, end: Option<&Close>) {
        self.state.metrics.closed(end.map(Close::code));
    }

    /// What is left for the farewell. The operations end here.
    pub(super) fn into_rest(self) -> (Channel, Incoming, Outgoing) {
        (self.stream, self.incoming, self.outgoing)
    }

    /// One round. Says whether another may bring something.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        self.stop_in_order(cx)?;
        self.keep_time(cx)?;
        self.stop_revoked(cx)?;
        let stuck = self.outgoing.is_stuck();
        let acknowledged = self.acknowledge(cx)?;
        let read = self.read(cx)?;
        let said = self.speak(cx);
        let written = self.outgoing.poll_write(cx, &mut self.stream);
        if let Poll::Ready(Err(error)) = &written {
            tracing::debug!(%error, "a socket cannot be written to");
            return Err(None);
        }
        // Where writing was blocked, the operations could say nothing: now they can.
        let unstuck = stuck && written.is_ready();
        Ok(acknowledged || read || said || unstuck)
    }

    /// When the server stops, subscriptions end at once, and what is under way gets time to end.
    fn stop_in_order(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if !self.stopping && self.shutdown.as_mut().poll(cx).is_ready() {
            self.stopping = true;
            self.operations.end_subscriptions();
            self.timers
                .ends(Some(self.state.options.drain_within), Due::Drain);
        }
        let done = self.operations.len() == 0 && self.outgoing.is_empty();
        if self.stopping && done {
            return Err(Some(Close::GoingAway));
        }
        Ok(())
    }

    fn keep_time(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Poll::Ready(due) = self.timers.poll_due(cx, self.outgoing.since()) {
            match due {
                Due::Ping => {
                    self.dialect.ping(&mut self.outgoing);
                    self.timers.pinged();
                }
                Due::Dead => return Err(None),
                Due::Init => return Err(Some(Close::InitTimeout)),
                Due::Expiry => return Err(Some(Close::Forbidden)),
                Due::Drain => return Err(Some(Close::GoingAway)),
                Due::Write => return Err(Some(Close::SlowConsumer)),
            }
        }
        Ok(())
    }

    /// A token that was revoked ends the connection as its expiry does.
    fn stop_revoked(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if let Phase::Known(known) = &mut self.phase
            && let Some(revoked) = &mut known.revoked
            && revoked.as_mut().poll(cx).is_ready()
        {
            return Err(Some(Close::Forbidden));
        }
        Ok(())
    }

    /// Acknowledges the client once its token has been looked at.
    fn acknowledge(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Phase::Asking(asking) = &mut self.phase else {
            return Ok(false);
        };
        let Poll::Ready(session) = asking.as_mut().poll(cx) else {
            return Ok(false);
        };
        let session = session.map_err(|error| Some(self.reject(error)))?;
        let actor = session.as_ref().map(|session| &session.actor);
        let most = self.state.options.connections_max;
        let (connections, realtime) = (&self.state.connections, &self.state.app.realtime);
        let admission = connections.admit(realtime, actor, most);
        let admission = admission.ok_or_else(|| {
            let why = Answer::too_many_connections(most);
            Some(self.turn_away(&why, Close::TooManyConnections))
        })?;
        if session.is_some() {
            self.incoming.trust(self.state.options.message_max);
        }
        if !self.stopping {
            let left = session
                .as_ref()
                .map_or(self.state.options.anonymous_within, |session| {
                    session.time_left(self.state.app.clock.now())
                });
            self.timers.ends(Some(left), Due::Expiry);
        }
        let revoked = session
            .as_ref()
            .map(|session| self.state.app.revoked(session).boxed());
        self.phase = Phase::Known(Box::new(Known {
            session,
            revoked,
            _admission: admission,
        }));
        self.dialect.acknowledge(&mut self.outgoing);
        Ok(true)
    }

    /// How to close where the client's token is not accepted.
    fn reject(&mut self, error: Error) -> Close {
        let forged = matches!(&error, Error::Token(why) if why.is_forged());
        if let Some(network) = self.network().filter(|_| forged) {
            self.state.app.rates.forged(network);
        }
        if matches!(error, Error::Unavailable(_) | Error::Internal(_)) {
            // Who is told no more than this connects again.
            return Close::Unavailable;
        }
        let why = Answer::of_result(refusal_response(error));
        self.turn_away(&why, Close::Forbidden)
    }

    /// Says why the client is not served, before it is closed.
    fn turn_away(&mut self, why: &Answer, close: Close) -> Close {
        self.dialect.turn_away(why, &mut self.outgoing);
        close
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.outgoing.replies() > REPLIES {
            return Ok(false);
        }
        let heard = self
            .incoming
            .poll_next(cx, &mut self.stream, &mut self.outgoing);
        if self.incoming.has_heard() {
            self.timers.heard();
        }
        let Poll::Ready(heard) = heard else {
            return Ok(false);
        };
        let heard = heard?;
        match heard {
            Heard::Text(text) => {
                let says = self.dialect.read(&text).map_err(Some)?;
                self.on_message(says)?;
            }
            Heard::Binary => return Err(Some(Close::BadMessage("it is binary"))),
            Heard::Control => {}
        }
        Ok(true)
    }

    fn on_message(&mut self, says: Says) -> Result<(), End> {
        match says {
            Says::Init(said) => self.begin(said)?,
            Says::Start(id, wanted) => self.start(id, wanted)?,
            Says::End(id, replies) => {
                if let Some(id) = id {
                    self.operations.end(&id);
                }
                for reply in replies {
                    self.outgoing.reply(reply);
                }
            }
            Says::Leave => return Err(Some(Close::Left)),
            Says::Nothing => {}
        }
        Ok(())
    }

    /// Takes up who the client says that it is.
    fn begin(&mut self, said: Option<Value>) -> Result<(), End> {
        if !matches!(self.phase, Phase::Silent) {
            return Err(Some(Close::TooManyInits));
        }
        if !self.stopping {
            // It came in time; the database has its own limits.
            self.timers.ends(None, Due::Init);
        }
        let rates = &self.state.app.rates;
        let may_try = self.network().map_or(Ok(()), |from| rates.may_try(from));
        if let Err(limited) = may_try {
            let why = Answer::rate_limited(limited);
            return Err(Some(self.turn_away(&why, Close::TooManyRequests)));
        }
        let app = Arc::clone(&self.state.app);
        let asking = self.dialect.ask(app, said, self.request_id.take());
        self.phase = Phase::Asking(asking);
        Ok(())
    }

    fn start(&mut self, id: Arc<str>, wanted: Wanted) -> Result<(), End> {
        let Phase::Known(known) = &self.phase else {
            return Err(Some(Close::Unauthorized));
        };
        if self.operations.contains(&id) {
            return Err(Some(Close::DuplicateId(id)));
        }
        let metrics = Arc::clone(&self.state.metrics);
        let known_user = known.session.is_some();
        let via = self.dialect.via();
        let measured = |request: Option<&Prepared>| metrics.begin(via, known_user, request);
        let most = self.state.options.operations_max;
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if self.operations.len() >= most || place.is_none() {
            // A close would end its neighbours too.
            metrics.refused_operation();
            self.refuse(id, measured(None), Answer::too_many_operations(most));
        } else if self.stopping {
            self.refuse(id, measured(None), Answer::stopping());
        } else if let Err(limited) = self.admit(known.session.as_ref()) {
            self.refuse(id, measured(None), Answer::rate_limited(limited));
        } else {
            let actor = known.session.as_ref().map(|session| session.actor.clone());
            let request = wanted.prepare(&self.state, known_user);
            let begun = measured(request.as_ref().ok());
            let operation = operation::start(&self.state, actor, request, None, place);
            self.operations.start(id, begun.over(operation));
        }
        Ok(())
    }

    fn admit(&self, session: Option<&Session>) -> Result<(), RateLimited> {
        rates::admit(&self.state, self.network(), session)
    }

    fn network(&self) -> Option<Network> {
        self.network.as_deref().copied()
    }

    fn refuse(&mut self, id: Arc<str>, begun: Begun, answer: Answer) {
        begun.refused(&answer);
        if let Some(pieces) = self.dialect.tell(Said::Answer(id, answer)) {
            self.outgoing.reply(pieces.concat().into());
        }
    }

    /// Queues what the operations say, in turns. Where the client has not taken what is queued already, they
    /// only go on: what they hold in the middle of their work, others wait for.
    fn speak(&mut self, cx: &mut Context<'_>) -> bool {
        if !matches!(self.phase, Phase::Known(_)) {
            return false;
        }
        if self.outgoing.is_stuck() {
            self.operations.go_on(cx);
            return false;
        }
        let mut said_something = false;
        while self.outgoing.bytes() < BATCH
            && let Poll::Ready(said) = self.operations.poll_next(cx)
        {
            said_something = true;
            if let Some(pieces) = self.dialect.tell(said) {
                self.outgoing.text(pieces);
            }
        }
        said_something
    }
}
