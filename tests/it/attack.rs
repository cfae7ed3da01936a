//! Every place at which an id or a cursor is handed in, attacked with what is another's. What comes of it is
//! byte for byte what comes of an id that exists nowhere: the answer, the statements, and nothing else.

mod cases;
mod places;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use colloquy::http::SocketOptions;
use colloquy::realtime::RealtimeOptions;
use colloquy::store::{Connection, Database, PoolOptions};
use serde_json::json;
use tokio::time::timeout;

use self::cases::{ADMINISTERS, CASES, Case, DIRECTORY, MAKES, TEXTS};
use self::places::Places;
use self::world::{Ids, Kind, World, nowhere};
use crate::support::log::uuid;
use crate::support::proxy::{Counts, counted};
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::socket::{Events, PATIENCE, Socket};
use crate::support::{Server, User, postgres, run};

/// What stands behind a place of the schema must not depend on whose it is, so a new place needs a case.
#[test]
fn every_place_of_the_schema_is_attacked() {
    run(async {
        let server = Server::start().await;
        let places = Places::of(&server).await;
        for field in &places.fields {
            let of = |case: &Case| case.at == field || case.at.starts_with(&format!("{field}."));
            assert!(CASES.iter().any(of), "{field} needs a case");
        }
        assert!(places.leaves.len() > 30, "{places:?}");
        for (leaf, of) in &places.leaves {
            let is_text = of == "String" && TEXTS.contains(&leaf.as_str());
            let attacked = CASES.iter().any(|case| case.at == leaf);
            assert!(is_text || attacked, "{leaf} takes {of} and needs a case");
        }
        for at in CASES
            .iter()
            .map(|case| case.at)
            .chain(TEXTS.iter().copied())
        {
            let leaf = places.leaves.iter().any(|(leaf, _)| leaf == at);
            assert!(
                leaf || places.fields.iter().any(|field| field == at),
                "{at} is gone"
            );
        }
    });
}

/// A server behind a counting proxy, with one connection in its pool, whose engine keeps silent.
async fn quiet(database: &Database) -> (Server, Arc<Counts>) {
    let (proxied, counts) = counted(database, postgres::socket_dir()).await;
    let hour = Duration::from_secs(3600);
    let usual = Setup::default();
    let setup = Setup {
        realtime: RealtimeOptions {
            tick: hour,
            sweep: hour,
            probe: hour,
            revocations: hour,
            ..usual.realtime
        },
        pool: PoolOptions {
            size: 1,
            ..usual.pool
        },
        // Nobody reads the attacker's socket between two subscriptions, so no ping would be answered.
        sockets: SocketOptions {
            ping_after: hour,
            ..usual.sockets
        },
        ..usual
    };
    (Server::with(proxied, setup).await, counts)
}

/// Somebody who is in none of the victims' chats.
struct Attacker {
    user: User,
    tenant: &'static str,
    own: String,
    message: String,
    socket: Socket,
    subscriptions: usize,
    /// How long a subscription may say nothing before it counts as accepted.
    patience: Duration,
}

impl Attacker {
    async fn new(user: User, tenant: &'static str, friend: &User) -> Self {
        let own = user.group("own", &[friend]).await;
        let message = user.sends(&own, "own").await;
        let socket = Socket::open(&user).await;
        Self {
            user,
            tenant,
            own,
            message,
            socket,
            subscriptions: 0,
            patience: PATIENCE,
        }
    }

    fn shares_tenant(&self) -> bool {
        self.tenant == "default"
    }

    /// What comes of an operation: the whole answer, but for the time and the request's id.
    async fn answer(&mut self, document: &str) -> String {
        let document = document
            .replace("OWN_MESSAGE", &self.message)
            .replace("\"OWN\"", &format!("\"{}\"", self.own));
        if document.starts_with("subscription") {
            return self.hears(&document).await;
        }
        let answer = self.user.post(&document, json!({})).await;
        let head = answer.head.lines().filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("date:") && !line.starts_with("x-request-id:")
        });
        let head: Vec<&str> = head.collect();
        format!("{}\n{}", head.join("\n"), answer.json())
    }

    /// The first word about a subscription, which ends then.
    async fn hears(&mut self, document: &str) -> String {
        self.subscriptions += 1;
        let id = self.subscriptions.to_string();
        self.socket.subscribe(&id, document, json!({})).await;
        let word = async {
            loop {
                let said = self.socket.hear().await;
                if said["id"] == json!(id) {
                    return format!("{} {}", said["type"], said["payload"]);
                }
            }
        };
        let word = timeout(self.patience, word).await;
        let end = json!({ "type": "complete", "id": id });
        self.socket.say(end).await;
        word.unwrap_or_else(|_| "silence".to_owned())
    }
}

/// A query for all rows but those that tell of a connection, whatever tables there are.
async fn everything_stored(conn: &mut Connection) -> String {
    let tables = "SELECT relname::text AS line FROM pg_class WHERE relkind = 'r' \
         AND relnamespace = 'public'::regnamespace AND relname NOT IN ('servers', 'presences')";
    let tables = lines(conn, tables).await;
    let table = |name: &String| format!("SELECT '{name} ' || t::text AS line FROM {name} AS t");
    let tables: Vec<String> = tables.iter().map(table).collect();
    tables.join(" UNION ALL ")
}

/// All rows but the attacker's own in `users`.
async fn rows(conn: &mut Connection, query: &str, attacker: &Attacker) -> BTreeSet<String> {
    let mut all = BTreeSet::from_iter(lines(conn, query).await);
    let own = format!("users ({},{},", attacker.tenant, attacker.user.id);
    all.retain(|row| !row.starts_with(&own));
    all
}

/// The kinds that are handed in, at every place: also those that do not belong there.
const KINDS: [Kind; 19] = [
    Kind::Chat,
    Kind::Direct,
    Kind::Deleted,
    Kind::Message,
    Kind::Gone,
    Kind::Participant,
    Kind::User,
    Kind::MessageCursor,
    Kind::ParticipantCursor,
    Kind::ChatCursor,
    Kind::StarCursor,
    Kind::ReplyCursor,
    Kind::RevisionCursor,
    Kind::ReadCursor,
    Kind::DeliveredCursor,
    Kind::EventCursor,
    Kind::ChannelType,
    Kind::ChannelId,
    Kind::Attachment,
];

/// Runs an operation, and returns its answer without the ids and the SQL that it took.
async fn attack(
    attacker: &mut Attacker,
    counts: &Counts,
    (case, ids, kind): (&Case, &Ids, Kind),
) -> (String, Vec<String>) {
    counts.ran();
    let answer = attacker.answer(&ids.fill(case.document, kind)).await;
    let mut ran = counts.ran();
    // What an attacker does with their own chat is told to the other servers, and a server renews its row and
    // looks for others that have expired, from time to time.
    let by_itself = [
        "SELECT pg_notify",
        "INSERT INTO servers ",
        "SELECT EXISTS (SELECT \"servers\"",
    ];
    ran.retain(|sql| !by_itself.iter().any(|start| sql.starts_with(start)));
    // What fields look up at the same time comes in any order.
    ran.sort();
    (ids.veil(&answer), ran)
}

/// Hands everything in everywhere.
async fn attack_everywhere(server: &Server, counts: &Counts, attacker: &mut Attacker) {
    let world = World::new(server).await;
    // The first hint goes at once, and whoever has come is written down.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let mut conn = server.sql().await;
    let stored = everything_stored(&mut conn).await;
    let mut attacks = 0;
    let endless = |case: &&Case| case.at == "Subscription.chatUpdates";
    for case in CASES.iter().filter(|case| !endless(case)) {
        for kind in KINDS {
            let (foreign, absent) = (world.ids(&mut conn).await, nowhere());
            let what = format!("{} with {kind:?} of another:\n{}", case.at, case.document);
            let before = rows(&mut conn, &stored, attacker).await;
            let (answer, ran) = attack(attacker, counts, (case, &foreign, kind)).await;
            let after = rows(&mut conn, &stored, attacker).await;
            if MAKES.contains(&case.at) {
                let own = uuid(&attacker.own);
                let mut lost = before.difference(&after).filter(|row| !row.contains(&own));
                assert_eq!(lost.next(), None, "{what}");
            } else {
                let changed: Vec<_> = before.symmetric_difference(&after).collect();
                assert!(changed.is_empty(), "{what}\nchanged {changed:#?}");
            }
            let known = kind == Kind::User && attacker.shares_tenant();
            if known && DIRECTORY.contains(&case.at) {
                continue;
            }
            assert!(!answer.contains("s3cret"), "{what}\ntells {answer}");
            let control = attack(attacker, counts, (case, &absent, kind)).await;
            assert_eq!(answer, control.0, "{what}\nis answered in another way");
            assert_eq!(ran, control.1, "{what}\nis looked up in another way");
            attacks += 1;
            if !case.document.contains('@') {
                break;
            }
        }
    }
    assert!(attacks > 300, "only {attacks} attacks");
}

#[test]
fn who_shares_a_tenant_cannot_tell_what_is_anothers_from_what_is_not() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await).await;
        let friend = server.user("frank");
        let mallory = server.user("mallory");
        let mut attacker = Attacker::new(mallory, "default", &friend).await;
        attack_everywhere(&server, &counts, &mut attacker).await;
    });
}

#[test]
fn a_namesake_in_another_tenant_cannot_tell_what_is_anothers_from_what_is_not() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await).await;
        let friend = server.user_of("elsewhere", "carol");
        let alice = server.user_of("elsewhere", "alice");
        let mut attacker = Attacker::new(alice, "elsewhere", &friend).await;
        attack_everywhere(&server, &counts, &mut attacker).await;
    });
}

/// The matrix can fail: for the owner of the ids, each place that takes some tells them from others.
#[test]
fn their_owner_can_tell_them() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await).await;
        let mut conn = server.sql().await;
        let mut told = BTreeSet::new();
        for case in CASES.iter().filter(|case| case.document.contains('@')) {
            let carol = server.user("carol");
            let world = World::new(&server).await;
            let mut owner = Attacker::new(world.alice.clone(), "default", &carol).await;
            owner.patience = Duration::from_millis(500);
            for kind in KINDS {
                if told.contains(case.at) {
                    break;
                }
                let ids = world.ids(&mut conn).await;
                let (answer, _) = attack(&mut owner, &counts, (case, &ids, kind)).await;
                let (control, _) = attack(&mut owner, &counts, (case, &nowhere(), kind)).await;
                if answer != control {
                    told.insert(case.at);
                }
            }
        }
        let places = CASES.iter().filter(|case| case.document.contains('@'));
        // Whoever is named there is made to exist, or need not exist: nobody can tell who did.
        let unknown = |at: &&str| MAKES.contains(at) || ADMINISTERS.contains(at);
        let places = places.map(|case| case.at).filter(|at| !unknown(at));
        let untold: Vec<_> = places.filter(|at| !told.contains(at)).collect();
        assert!(untold.is_empty(), "nothing can be told at {untold:?}");
    });
}

/// All that somebody outside of the victims' chats can listen to.
async fn listens(user: &User, own: &str) -> [Events; 3] {
    let mut streams = [
        user.follows_chats().await,
        user.follows(own, None).await,
        Events::of_signals(user, own).await,
    ];
    // Signals begin with what is so now, and a pong answers a ping.
    for stream in &mut streams {
        while !stream.socket.is_quiet(Duration::from_millis(300)).await {}
    }
    streams
}

/// Everything that a chat's people can do is done.
async fn everything(world: &World, ids: &Ids, carol: &User) {
    let (alice, chat) = (&world.alice, ids.of(Kind::Chat));
    let message = alice.sends(chat, "s3cret").await;
    alice.edits(&message, "s3cret too").await;
    alice.deletes(&message).await;
    alice.restores(&message).await;
    carol.reads(chat, &message).await;
    let mark = json!({ "marks": [{ "chatId": chat, "messageId": message }] });
    carol.does("markChatDelivered", "", mark).await;
    let typing = json!({ "chatId": chat, "typing": true });
    carol.does("setTyping", "", typing).await;
    alice.renames(chat, "s3cret again").await;
    alice.makes(chat, carol, "ADMIN").await;
    alice.restores_chat(ids.of(Kind::Deleted)).await;
    carol.sends(ids.of(Kind::Direct), "s3cret").await;
    let visible = json!({ "visible": false });
    carol.does("setPresenceVisibility", "", visible).await;
    carol.leaves(chat).await;
    alice.deletes_chat(chat).await;
}

#[test]
fn nobody_hears_of_what_is_anothers() {
    run(async {
        let server = Server::start().await;
        let world = World::new(&server).await;
        let ids = world.ids(&mut server.sql().await).await;
        let carol = server.user("carol");
        let attackers = [server.user("mallory"), server.user_of("elsewhere", "alice")];
        let mut heard = Vec::new();
        for attacker in &attackers {
            let own = attacker.group("own", &[]).await;
            heard.push((attacker, listens(attacker, &own).await, own));
        }
        let mut owner = listens(&world.alice, ids.of(Kind::Chat)).await;
        everything(&world, &ids, &carol).await;
        // Who is in the chat hears of it on each of the streams, of its end at last.
        let deleted = |event: &serde_json::Value| event["__typename"] == "ChatDeleted";
        owner[1].until(deleted).await;
        let left = |update: &serde_json::Value| update["chat"]["title"] == "s3cret again";
        owner[0].until(left).await;
        let typing = |signal: &serde_json::Value| signal["__typename"] == "TypingStarted";
        owner[2].until(typing).await;
        for (attacker, mut streams, own) in heard {
            for stream in &mut streams {
                assert!(stream.socket.is_quiet(Duration::from_millis(300)).await);
            }
            // The streams run: the next that each says is of the attacker's own.
            attacker.sends(&own, "own").await;
            let input = json!({ "chatId": own, "typing": true });
            attacker.does("setTyping", "", input).await;
            assert_eq!(streams[0].next().await["chatId"], json!(own));
            assert_eq!(streams[1].next().await["message"]["body"], "own");
            assert_eq!(streams[2].next().await["chat"]["id"], json!(own));
        }
    });
}
