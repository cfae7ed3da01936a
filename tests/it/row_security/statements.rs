//! Each statement that is executed for a user names the tenant of each table that it reads.
//!
//! A statement that finds its rows by a chat whose access was looked at before comes upon no other tenant's row, so
//! the mode of the suite does not notice what it has forgotten. Its plan does: Postgres shows the conditions on each
//! table.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::hot_path::{plan, quiet};
use crate::support::files::get;
use crate::support::proxy::Text;
use crate::support::rows::lines;
use crate::support::{Server, User, postgres, run};

const TABLES: &str =
    "SELECT c.relname::text AS line FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attname = 'tenant_id'";

/// Whatever a plan calls a condition.
const CONDITIONS: [&str; 6] = [
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Join Filter",
    "Hash Cond",
    "Merge Cond",
];

fn conditions(node: &Value) -> Vec<String> {
    let text = |name: &&str| node[*name].as_str().map(str::to_owned);
    CONDITIONS.iter().filter_map(text).collect()
}

/// The nodes of a plan, the first with all below it.
pub(crate) fn nodes<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(node);
    for below in node["Plans"].as_array().into_iter().flatten() {
        nodes(below, found);
    }
}

/// Whether a text has a word; `.` belongs to words, so that `m.tenant_id` is another than `tenant_id`.
fn has_word(text: &str, word: &str) -> bool {
    let is_end = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.');
    text.split(is_end).any(|found| found == word)
}

/// The tables with a tenant that a plan reads under no condition on their tenant.
fn forgotten(plan: &Value, tables: &BTreeSet<String>) -> Vec<String> {
    let mut all = Vec::new();
    nodes(plan, &mut all);
    let everywhere: Vec<String> = all.iter().flat_map(|node| conditions(node)).collect();
    let mut forgotten = Vec::new();
    for node in all {
        let Some(table) = node["Relation Name"].as_str() else {
            continue;
        };
        if node["Node Type"] == "ModifyTable" || !tables.contains(table) {
            continue;
        }
        let named = format!("{}.tenant_id", node["Alias"].as_str().unwrap());
        let here = conditions(node);
        let is_named = here.iter().any(|text| has_word(text, "tenant_id"))
            || everywhere.iter().any(|text| has_word(text, &named));
        if !is_named {
            forgotten.push(table.to_owned());
        }
    }
    forgotten
}

/// Does whatever a user can do.
pub(crate) async fn does_everything(server: &Server) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
    carol.ask("{ viewer { id displayName } }", json!({})).await;
    let direct = alice.direct(&bob).await;
    alice.direct(&bob).await;
    let chat = alice.group("Team", &[&bob]).await;
    let first = alice.sends(&chat, "first").await;
    reads(&alice, &chat, &first).await;
    for _ in 0..2 {
        let input =
            json!({ "chatId": chat, "body": "b", "replyToId": first, "idempotencyKey": "k" });
        alice.does("sendMessage", "message { id }", input).await;
    }
    // Some of these are written together, to several chats and to one.
    let many = (0..48).map(|n| alice.sends([&chat, &direct][n % 2], "together"));
    join_all(many).await;
    join_all((0..24).map(|_| alice.sends(&chat, "together"))).await;
    let message = json!({ "messageId": first });
    let edit = json!({ "messageId": first, "body": "edited" });
    let revisions = "message { body revisions(first: 1) { nodes { body } pageInfo { endCursor } } newest: revisions(last: 1) { nodes { body } } }";
    let edited = alice.does("editMessage", revisions, edit).await;
    let cursor = &edited["message"]["revisions"]["pageInfo"]["endCursor"];
    let query = "query ($id: ID!, $after: String) { node(id: $id) { ... on Message { revisions(after: $after) { nodes { body } } } } }";
    alice
        .ask(query, json!({ "id": first, "after": cursor }))
        .await;
    alice.does("deleteMessage", "", message.clone()).await;
    alice.does("restoreMessage", "", message).await;
    for mutation in ["starMessage", "unstarMessage", "starMessage"] {
        let message = json!({ "messageId": first });
        let fields = "message { viewerHasStarred }";
        bob.does(mutation, fields, message).await;
    }
    starred(&bob).await;
    attaches(server, &alice, &chat).await;
    of_notifications(server, &bob, &chat).await;
    let mark = json!({ "chatId": chat, "messageId": first });
    bob.does("markChatRead", "", mark.clone()).await;
    bob.does("markChatDelivered", "", json!({ "marks": [mark] }))
        .await;
    let receipts = "query ($id: ID!, $after: String) { node(id: $id) { ... on Message { \
        readBy(first: 1, after: $after) { nodes { at } pageInfo { endCursor } } oldest: readBy(last: 1) { nodes { at } } \
        deliveredTo(first: 1) { nodes { at } pageInfo { endCursor } } last: deliveredTo(last: 1) { nodes { at } } } } }";
    let seen = alice.ask(receipts, json!({ "id": first })).await;
    let cursor = &seen["node"]["readBy"]["pageInfo"]["endCursor"];
    alice
        .ask(receipts, json!({ "id": first, "after": cursor }))
        .await;
    let reached = &seen["node"]["deliveredTo"]["pageInfo"]["endCursor"];
    let query = "query ($id: ID!, $before: String) { node(id: $id) { ... on Message { deliveredTo(before: $before) { nodes { at } } } } }";
    alice
        .ask(query, json!({ "id": first, "before": reached }))
        .await;
    alice
        .does("setReceiptVisibility", "", json!({ "visible": false }))
        .await;
    alice
        .does("setReceiptVisibility", "", json!({ "visible": true }))
        .await;
    let typing = json!({ "chatId": chat, "typing": true });
    bob.does("setTyping", "", typing).await;
    bob.does("setPresenceVisibility", "", json!({ "visible": false }))
        .await;
    for filter in [
        "textContains: \"TOGETHER\", senderIds: [\"alice\"]",
        "starred: false, unread: true",
        "starred: true, sentSince: \"2020-01-01T00:00:00Z\"",
    ] {
        let page = format!(
            "messages(first: 3, filter: {{ {filter} }}) {{ nodes {{ id }} pageInfo {{ endCursor }} }}"
        );
        bob.chat(&chat, &page).await;
    }
    let answers =
        format!("messages(last: 3, filter: {{ replyToId: \"{first}\" }}) {{ nodes {{ id }} }}");
    bob.chat(&chat, &answers).await;
    let query = "{ chats(filter: { unread: true, titleContains: \"tea\" }) { edges { cursor } } }";
    let found = bob.ask(query, json!({})).await;
    assert_eq!(
        found["chats"]["edges"].as_array().unwrap().len(),
        1,
        "{found}"
    );
    let forward = json!({ "messageIds": [first], "chatIds": [chat, direct] });
    let fields = "messages { forwardedFrom { sender { id } message { id } } }";
    alice.does("forwardMessages", fields, forward).await;
    let reference = json!({ "channelType": "order", "channelId": "42" });
    let of_chat = json!({ "chatId": chat });
    for (mutation, more) in [
        ("renameChat", json!({ "title": "Tea" })),
        ("changeChatMetadata", json!({ "metadata": { "a": 1 } })),
        (
            "changeChatExternalReference",
            json!({ "externalReference": reference }),
        ),
        ("changeChatHistory", json!({ "history": "SINCE_JOINING" })),
        ("addParticipants", json!({ "userIds": ["carol", "dave"] })),
        (
            "changeParticipantRole",
            json!({ "userId": "carol", "role": "ADMIN" }),
        ),
        ("removeParticipant", json!({ "userId": "dave" })),
    ] {
        let mut input = more;
        input["chatId"] = json!(chat);
        alice.does(mutation, "", input).await;
    }
    let start = carol.start_cursor(&chat).await;
    let mut events = carol.follows(&chat, Some(&start)).await;
    alice.sends(&chat, "since").await;
    events
        .until(|event| event["message"]["body"] == "since")
        .await;
    let mut updates = bob.follows_chats().await;
    alice.sends(&direct, "direct").await;
    updates.next().await;
    reads(&carol, &chat, &first).await;
    let query = "{ chatByExternalReference(channelType: \"order\", channelId: \"42\") { id } }";
    alice.ask(query, json!({})).await;
    let root = server.user("root").permitted(&["colloquy:admin"]);
    let trail = "query ($first: Int, $last: Int, $after: String, $before: String, $filter: AuditFilterInput) { \
        auditRecords(first: $first, last: $last, after: $after, before: $before, filter: $filter) { edges { cursor } } }";
    let page = root.ask(trail, json!({ "first": 3 })).await;
    let cursor = &page["auditRecords"]["edges"][1]["cursor"];
    for args in [
        json!({ "first": 2, "after": cursor }),
        json!({ "last": 2, "before": cursor }),
        json!({ "last": 2, "filter": { "chatId": chat, "actorId": "alice" } }),
    ] {
        root.ask(trail, args).await;
    }
    bob.does("leaveChat", "", of_chat.clone()).await;
    alice.does("deleteChat", "", of_chat.clone()).await;
    alice.does("restoreChat", "", of_chat).await;
}

/// Uploads a file, asks for it, and reads who did.
async fn attaches(server: &Server, user: &User, chat: &str) {
    let id = user.uploads("a.txt", "text/plain", b"Hello").await;
    let message = user.sends_files(chat, "", &[&id]).await;
    user.message(&message, "attachments { name }").await;
    let url = user.download_url(&id).await.unwrap();
    assert_eq!(get(&url, &[]).await.status, 200);
    let root = user.permitted(&["colloquy:admin"]);
    let nobody = server.user("nobody").permitted(&["colloquy:admin"]);
    nobody.attachment(&id, "name").await;
    let query = |args: &str| {
        format!(
            "{{ attachmentDownloads{args} {{ nodes {{ attachmentId }} pageInfo {{ endCursor }} }} }}"
        )
    };
    for of in [String::new(), format!(", attachmentId: \"{id}\"")] {
        let page = root
            .ask(&query(&format!("(first: 1{of})")), json!({}))
            .await;
        let cursor = page["attachmentDownloads"]["pageInfo"]["endCursor"].to_string();
        for place in [
            format!("after: {cursor}"),
            format!("last: 1, before: {cursor}"),
        ] {
            root.ask(&query(&format!("({place}{of})")), json!({})).await;
        }
    }
}

/// Sets of what to be notified, and looks after what was given up.
async fn of_notifications(server: &Server, user: &User, chat: &str) {
    let quiet = json!({ "start": "22:00", "end": "07:00", "timeZone": "Europe/Berlin" });
    for input in [
        json!({ "level": "MENTIONS", "quietHours": quiet }),
        json!({ "level": "ALL", "quietHours": null }),
    ] {
        let fields = "viewer { notificationSettings { level quietHours { start } } }";
        user.does("updateNotificationSettings", fields, input).await;
    }
    for (mutation, more) in [
        ("setChatNotificationLevel", json!({ "level": "ALL" })),
        ("muteChat", json!({ "until": "2999-01-01T00:00:00Z" })),
        ("unmuteChat", json!({})),
    ] {
        let mut input = more;
        input["chatId"] = json!(chat);
        let fields = "chat { viewerNotificationSettings { level muted mutedUntil } }";
        user.does(mutation, fields, input).await;
    }
    let root = server.user("root").permitted(&["colloquy:admin"]);
    for args in ["first: 1", "last: 1"] {
        let query = format!("{{ deadLetters({args}) {{ nodes {{ id failure }} }} }}");
        root.ask(&query, json!({})).await;
    }
    let ids = json!({ "ids": ["1", "2"] });
    root.does("replayDeadLetters", "replayedIds", ids).await;
}

/// Reads somebody's list both ways, from in front of its only element and from behind it.
async fn starred(user: &User) {
    let query = |args: &str| {
        format!(
            "{{ viewer {{ starredMessages{args} {{ nodes {{ body }} pageInfo {{ endCursor }} }} }} }}"
        )
    };
    let page = user.ask(&query("(first: 1)"), json!({})).await;
    let cursor = page["viewer"]["starredMessages"]["pageInfo"]["endCursor"].to_string();
    for args in [
        format!("(after: {cursor})"),
        format!("(last: 1, before: {cursor})"),
    ] {
        user.ask(&query(&args), json!({})).await;
    }
}

async fn reads(user: &User, chat: &str, message: &str) {
    let participants = "participants(first: 1) { pageInfo { endCursor } nodes { id user { displayName } presence { status } \
        lastReadMessage { body } lastDeliveredMessage { body } } }";
    let query = format!(
        "query ($chat: ID!, $message: ID!, $ids: [ID!]!) {{ viewer {{ id }} user(id: \"bob\") {{ displayName }} \
         node(id: $message) {{ id ... on Message {{ body sender {{ id }} replyTo {{ body }} viewerHasStarred replyCount lastReply {{ body }} \
         replies(first: 1) {{ nodes {{ id }} pageInfo {{ endCursor }} }} newest: replies(last: 1) {{ nodes {{ id }} }} }} }} nodes(ids: $ids) {{ id }} \
         chats(filter: {{ includeDeleted: true }}) {{ pageInfo {{ endCursor }} nodes {{ id title unreadCount lastMessage {{ body }} }} }} \
         groups: chats(first: 1, filter: {{ kind: GROUP }}) {{ nodes {{ id }} }} \
         chat(id: $chat) {{ unreadCount lastMessage {{ body }} {participants} \
         viewerParticipant {{ id lastReadMessage {{ body }} }} newest: messages(last: 2) {{ nodes {{ id replyTo {{ body }} }} \
         pageInfo {{ hasPreviousPage }} }} oldest: messages(first: 2) {{ pageInfo {{ endCursor }} nodes {{ sender {{ id }} }} }} }} }}"
    );
    let variables = json!({ "chat": chat, "message": message, "ids": [chat, message] });
    let found = user.post(&query, variables).await.json();
    assert_eq!(found.get("errors"), None, "{found}");
    let cursor = |pointer: &str| found["data"].pointer(pointer).cloned().unwrap();
    let more = json!({
        "chat": chat,
        "chats": cursor("/chats/pageInfo/endCursor"),
        "people": cursor("/chat/participants/pageInfo/endCursor"),
        "message": message,
        "replies": found["data"]["node"]["replies"]["pageInfo"]["endCursor"],
        "ids": cursor("/chat/participants/nodes/0/id"),
        "messages": cursor("/chat/oldest/pageInfo/endCursor"),
    });
    let query = "query ($chat: ID!, $chats: String, $people: String, $messages: String, $ids: ID!, $message: ID!, $replies: String) { \
        root: node(id: $message) { ... on Message { replies(after: $replies) { nodes { id } } } } \
        node(id: $ids) { ... on Participant { role } } chats(first: 1, after: $chats, filter: { includeDeleted: true }) { nodes { id } } chat(id: $chat) { \
        participants(first: 1, after: $people) { nodes { id } } messages(first: 1, after: $messages) { nodes { id } } \
        older: messages(last: 1, before: $messages) { nodes { id } } } }";
    user.ask(query, more).await;
}

#[test]
fn each_names_the_tenant_of_each_table_that_it_reads() {
    run(async {
        let database = super::shipped().await;
        let (server, counts) = quiet(&database, Some(super::tenant_role())).await;
        does_everything(&server).await;
        let mut conn = database.connect().await.unwrap();
        let tables = lines(&mut conn, TABLES).await.into_iter().collect();
        postgres::sql(&mut conn, "SET plan_cache_mode = force_generic_plan").await;
        let mut texts: Vec<Text> = counts.of_tenants().into_iter().collect();
        texts.sort_by(|one, other| one.sql.cmp(&other.sql));
        let mut bad = Vec::new();
        for text in &texts {
            let plan: Value = serde_json::from_str(&plan(&mut conn, text, "JSON").await).unwrap();
            let forgotten = forgotten(&plan[0]["Plan"], &tables);
            if !forgotten.is_empty() {
                bad.push(format!("{forgotten:?} in {}", text.sql));
            }
        }
        println!("{} statements", texts.len());
        assert!(bad.is_empty(), "{}", bad.join("\n\n"));
        assert!(texts.len() >= 40, "only {} statements", texts.len());
    });
}
