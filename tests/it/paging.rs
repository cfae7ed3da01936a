//! Pages of the three lists, held against a plain model: a `Vec`.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{Server, User, run};

/// A list, as someone sees it.
#[derive(Debug, Clone)]
pub(crate) struct List {
    viewer: User,
    /// The document; its one list is named `list`.
    pub(crate) query: String,
    variables: Value,
}

/// A page that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) ids: Vec<String>,
    pub(crate) cursors: Vec<String>,
    pub(crate) next: bool,
    pub(crate) previous: bool,
}

const ARGUMENTS: &str = "first: $first, after: $after, last: $last, before: $before";
const VARIABLES: &str = "$first: Int, $after: String, $last: Int, $before: String";
const FIELDS: &str = "edges { cursor node { id } } nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

impl List {
    pub(crate) fn in_chat(viewer: &User, chat: &str, field: &str) -> Self {
        Self {
            viewer: viewer.clone(),
            query: format!(
                "query ($id: ID!, {VARIABLES}) {{ at: chat(id: $id) {{ list: {field}({ARGUMENTS}) {{ {FIELDS} }} }} }}"
            ),
            variables: json!({ "id": chat }),
        }
    }

    /// The receipts of a message, whose elements are known by who they are of.
    pub(crate) fn of_message(viewer: &User, message: &str, field: &str) -> Self {
        let fields = FIELDS.replace("node { id }", "node { user { id } }");
        let fields = fields.replace("nodes { id }", "nodes { user { id } }");
        Self {
            viewer: viewer.clone(),
            query: format!(
                "query ($id: ID!, {VARIABLES}) {{ at: node(id: $id) {{ ... on Message {{ list: {field}({ARGUMENTS}) {{ {fields} }} }} }} }}"
            ),
            variables: json!({ "id": message }),
        }
    }

    /// The audit trail, whose elements are known by their cursors.
    pub(crate) fn trail(viewer: &User, filter: Value) -> Self {
        let fields = FIELDS.replace("node { id }", "node { action }");
        let fields = fields.replace("nodes { id }", "nodes { action }");
        Self {
            viewer: viewer.clone(),
            query: format!(
                "query ($filter: AuditFilterInput, {VARIABLES}) {{ list: auditRecords({ARGUMENTS}, filter: $filter) {{ {fields} }} }}"
            ),
            variables: json!({ "filter": filter }),
        }
    }

    pub(crate) fn filtered(viewer: &User, chat: &str, filter: Value) -> Self {
        Self {
            viewer: viewer.clone(),
            query: format!(
                "query ($id: ID!, $filter: MessageFilterInput, {VARIABLES}) {{ at: chat(id: $id) {{ list: messages({ARGUMENTS}, filter: $filter) {{ {FIELDS} }} }} }}"
            ),
            variables: json!({ "id": chat, "filter": filter }),
        }
    }

    pub(crate) fn chats(viewer: &User, filter: Value) -> Self {
        Self {
            viewer: viewer.clone(),
            query: format!(
                "query ($filter: ChatFilterInput, {VARIABLES}) {{ list: chats({ARGUMENTS}, filter: $filter) {{ {FIELDS} }} }}"
            ),
            variables: json!({ "filter": filter }),
        }
    }

    fn with(&self, args: Value) -> Value {
        let mut variables = self.variables.clone();
        let (all, Value::Object(args)) = (variables.as_object_mut().unwrap(), args) else {
            panic!("arguments are an object");
        };
        all.extend(args);
        variables
    }

    pub(crate) async fn page(&self, args: Value) -> Page {
        let data = self.viewer.ask(&self.query, self.with(args)).await;
        let list = data.get("at").unwrap_or(&data)["list"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let edges = list["edges"].as_array().unwrap();
        let id = |node: &Value| {
            let id = node.get("id").or_else(|| node.get("action"));
            text(id.unwrap_or(&node["user"]["id"]))
        };
        let mut ids: Vec<_> = edges.iter().map(|edge| id(&edge["node"])).collect();
        let nodes = list["nodes"].as_array().unwrap();
        let nodes: Vec<_> = nodes.iter().map(id).collect();
        assert_eq!(nodes, ids, "nodes and edges agree");
        let cursors: Vec<_> = edges.iter().map(|edge| text(&edge["cursor"])).collect();
        if self.query.contains("action") {
            ids.clone_from(&cursors);
        }
        let info = &list["pageInfo"];
        assert_eq!(
            info["startCursor"].as_str(),
            cursors.first().map(String::as_str)
        );
        assert_eq!(
            info["endCursor"].as_str(),
            cursors.last().map(String::as_str)
        );
        Page {
            ids,
            cursors,
            next: info["hasNextPage"].as_bool().unwrap(),
            previous: info["hasPreviousPage"].as_bool().unwrap(),
        }
    }

    pub(crate) async fn codes(&self, args: Value) -> Vec<String> {
        self.viewer.codes(&self.query, self.with(args)).await
    }

    pub(crate) async fn is_refused(&self, args: Value) {
        let codes = self.codes(args.clone()).await;
        assert_eq!(codes, ["BAD_USER_INPUT"], "{args}");
    }
}

/// What to ask for, by indices into the list.
#[derive(Debug, Clone)]
struct Wanted {
    size: Option<usize>,
    from_end: bool,
    after: Option<usize>,
    before: Option<usize>,
}

fn wanted(len: usize) -> impl Strategy<Value = Wanted> {
    let place = || proptest::option::weighted(0.6, 0..len);
    let size = proptest::option::weighted(0.9, 0..=len + 1);
    (size, any::<bool>(), place(), place()).prop_map(|(size, from_end, after, before)| Wanted {
        size,
        from_end,
        after,
        before,
    })
}

/// The page that the model gives. What stands in front of it is the rest of the window and what `after`
/// shuts out; behind it, the rest of the window and what `before` shuts out.
fn expected(ids: &[String], cursors: &[String], wanted: &Wanted) -> Page {
    let start = wanted.after.map_or(0, |after| after + 1);
    let end = wanted.before.unwrap_or(ids.len());
    let window: Vec<usize> = (start..end).collect();
    // Without a size, `first: 50` holds, whatever the direction might have been.
    let size = wanted.size.unwrap_or(50).min(window.len());
    let from = if wanted.from_end && wanted.size.is_some() {
        window.len() - size
    } else {
        0
    };
    let page = &window[from..from + size];
    let texts = |all: &[String]| page.iter().map(|index| all[*index].clone()).collect();
    Page {
        ids: texts(ids),
        cursors: texts(cursors),
        next: from + size < window.len() || wanted.before.is_some(),
        previous: from > 0 || wanted.after.is_some(),
    }
}

fn arguments(cursors: &[String], wanted: &Wanted) -> Value {
    let mut args = json!({});
    if let Some(size) = wanted.size {
        args[if wanted.from_end { "last" } else { "first" }] = json!(size);
    }
    for (name, place) in [("after", wanted.after), ("before", wanted.before)] {
        if let Some(place) = place {
            args[name] = json!(cursors[place]);
        }
    }
    args
}

/// Runs a property whose test awaits.
fn holds<S: Strategy>(cases: u32, strategy: S, test: impl AsyncFn(S::Value) -> TestCaseResult) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::default()
    };
    let test = |value| Handle::current().block_on(test(value));
    tokio::task::block_in_place(|| TestRunner::new(config).run(&strategy, test)).unwrap();
}

/// Every page of a list is the model's, and walking it either way visits everything once.
pub(crate) async fn is_paged_like(list: &List, ids: &[String], cases: u32) {
    let whole = list.page(json!({ "first": 100 })).await;
    assert_eq!(whole.ids, ids, "the order of the list");
    assert_eq!((whole.next, whole.previous), (false, false));
    let cursors = &whole.cursors;
    if !ids.is_empty() {
        holds(cases, wanted(ids.len()), async |wanted| {
            let page = list.page(arguments(cursors, &wanted)).await;
            let expected = expected(ids, cursors, &wanted);
            (page == expected)
                .then_some(())
                .ok_or_else(|| TestCaseError::fail(format!("{page:#?} and not {expected:#?}")))
        });
    }
    for size in [1, 3, ids.len().max(1)] {
        assert_eq!(forwards(list, size).await, ids);
        assert_eq!(backwards(list, size).await, ids);
    }
}

async fn forwards(list: &List, size: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut args = json!({ "first": size });
    loop {
        let page = list.page(args).await;
        assert_eq!(page.previous, !ids.is_empty());
        ids.extend(page.ids);
        if !page.next {
            return ids;
        }
        args = json!({ "first": size, "after": page.cursors.last() });
    }
}

async fn backwards(list: &List, size: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut args = json!({ "last": size });
    loop {
        let page = list.page(args).await;
        assert_eq!(page.next, !ids.is_empty());
        ids.splice(0..0, page.ids);
        if !page.previous {
            return ids;
        }
        args = json!({ "last": size, "before": page.cursors.first() });
    }
}

pub(crate) async fn renames(user: &User, chat: &str, title: &str) {
    let input = json!({ "chatId": chat, "title": title });
    user.does("renameChat", "", input).await;
}

pub(crate) async fn removes(user: &User, chat: &str, other: &str) {
    let input = json!({ "chatId": chat, "userId": other });
    user.does("removeParticipant", "", input).await;
}

pub(crate) async fn adds(user: &User, chat: &str, others: &[&str]) {
    let input = json!({ "chatId": chat, "userIds": others });
    user.does("addParticipants", "", input).await;
}

pub(crate) async fn sends_many(user: &User, chat: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    for n in 0..count {
        // Other entries of the log stand between the messages, and are no elements.
        if n % 5 == 2 {
            renames(user, chat, &format!("title {n}")).await;
        }
        ids.push(user.sends(chat, &format!("message {n}")).await);
    }
    ids
}

#[test]
fn messages_are_paged() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("chat", &[]).await;
        let list = List::in_chat(&alice, &chat, "messages");
        is_paged_like(&list, &[], 0).await;
        let ids = sends_many(&alice, &chat, 11).await;
        renames(&alice, &chat, "the last word").await;
        is_paged_like(&list, &ids, 150).await;
    });
}

#[test]
fn participants_are_paged() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let others = ["10", "9", "B", "a", "\u{e9}", "e\u{301}", "z|z"].map(|id| server.user(id));
        let chat = alice.group("chat", &others.each_ref()).await;
        adds(&alice, &chat, &["0 later", "~ later"]).await;
        removes(&alice, &chat, "9").await;
        adds(&alice, &chat, &["9"]).await;
        let list = List::in_chat(&alice, &chat, "participants");
        // By when they joined, then by the bytes of their ids.
        let order = [
            "10", "B", "a", "alice", "e\u{301}", "z|z", "\u{e9}", "0 later", "~ later", "9",
        ];
        let users = alice
            .chat(&chat, "participants { nodes { id user { id } } }")
            .await;
        let users = users["participants"]["nodes"].as_array().unwrap().clone();
        let names: Vec<_> = users
            .iter()
            .map(|p| p["user"]["id"].as_str().unwrap())
            .collect();
        assert_eq!(names, order);
        let ids: Vec<_> = users
            .iter()
            .map(|p| p["id"].as_str().unwrap().to_owned())
            .collect();
        is_paged_like(&list, &ids, 150).await;
    });
}

/// A chat of the model of the inbox.
struct Modelled {
    id: String,
    kind: &'static str,
    /// Deleted, and whether the viewer can restore it.
    deleted: Option<bool>,
}

/// Chats of all sorts, the most recently active first.
async fn inbox(server: &Server, alice: &User) -> Vec<Modelled> {
    let bob = server.user("bob");
    let mut chats = Vec::new();
    for n in 0..12 {
        let owner = if n % 4 == 3 { &bob } else { alice };
        let direct = n % 3 == 1;
        let id = if direct {
            alice.direct(&server.user(&format!("friend {n}"))).await
        } else {
            let other = if n % 4 == 3 { alice } else { &bob };
            owner.group("chat", &[other]).await
        };
        let deleted = (n % 2 == 1).then_some(direct || n % 4 != 3);
        let kind = if direct { "DIRECT" } else { "GROUP" };
        chats.insert(0, Modelled { id, kind, deleted });
    }
    for index in [7, 2, 2, 11] {
        let chat = chats.remove(index);
        alice.sends(&chat.id, "hello").await;
        chats.insert(0, chat);
    }
    for chat in chats.iter().filter(|chat| chat.deleted.is_some()) {
        let by = if chat.deleted == Some(true) {
            alice
        } else {
            &bob
        };
        by.does("deleteChat", "", json!({ "chatId": chat.id }))
            .await;
    }
    chats
}

#[test]
fn chats_are_paged_and_filtered() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chats = inbox(&server, &alice).await;
        for deleted in [None, Some(false), Some(true)] {
            for kind in [None, Some("DIRECT"), Some("GROUP")] {
                let visible = |chat: &&Modelled| match chat.deleted {
                    None => true,
                    Some(restorable) => restorable && deleted == Some(true),
                };
                let wanted = chats.iter().filter(visible);
                let wanted = wanted.filter(|chat| kind.is_none_or(|kind| kind == chat.kind));
                let ids: Vec<_> = wanted.map(|chat| chat.id.clone()).collect();
                assert!(ids.len() > 1, "{kind:?} {deleted:?}");
                let mut filter = json!({ "kind": kind });
                if let Some(deleted) = deleted {
                    filter["includeDeleted"] = json!(deleted);
                }
                is_paged_like(&List::chats(&alice, filter), &ids, 25).await;
            }
        }
    });
}

#[test]
fn activity_moves_a_chat_to_the_front() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let old = alice.group("old", &[&bob]).await;
        let new = alice.direct(&bob).await;
        let list = List::chats(&alice, Value::Null);
        let before = list.page(json!({})).await;
        assert_eq!(before.ids, [new.as_str(), &old]);
        renames(&alice, &old, "no activity").await;
        assert_eq!(list.page(json!({})).await, before);
        bob.sends(&old, "activity").await;
        assert_eq!(list.page(json!({})).await.ids, [old.as_str(), &new]);
        // The cursor keeps its place, whatever became of the chat that had it.
        let args = json!({ "after": before.cursors[1] });
        assert_eq!(list.page(args).await.ids, [""; 0]);
        let args = json!({ "before": before.cursors[1] });
        assert_eq!(list.page(args).await.ids, [old.as_str(), &new]);
    });
}
