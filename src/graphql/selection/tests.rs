use std::collections::HashMap;
use std::fmt::Write as _;

use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
use async_graphql::parser::{parse_query, parse_schema};

use super::allowed::SAME_FOR_ALL;
use super::*;

fn of(query: &str) -> Analysis {
    analyse(&parse_query(query).unwrap(), None)
        .unwrap()
        .unwrap()
}

fn shared(selection: &str) -> Shared {
    let query = format!("subscription {{ chatEvents(chatId: \"c\") {{ {selection} }} }}");
    of(&query).shared
}

/// Read this table when it changes: a field that says "all" is computed once and shown to everybody.
#[test]
fn the_fields_that_are_the_same_for_all() {
    insta::assert_snapshot!(table(&super::super::sdl()));
}

#[test]
fn what_is_the_viewers_own_is_found_wherever_it_hides() {
    let event = "cursor __typename actor { id displayName }";
    assert_eq!(shared(event), Shared::Always);
    assert_eq!(shared(&format!("{event} chat {{ title }}")), Shared::Always);
    assert_eq!(
        shared("... on MessageSent { message { body sender { avatarUrl } } }"),
        Shared::Always
    );
    assert_eq!(shared("chat { unreadCount }"), Shared::Never);
    assert_eq!(shared("chat { messages { nodes { id } } }"), Shared::Never);
    assert_eq!(
        shared("... on MessageSent { message { chat { viewerParticipant { id } } } }"),
        Shared::Never
    );
    assert_eq!(
        shared("... on MessageSent { message { replyTo { body } } }"),
        Shared::InWholeHistory
    );
    assert_eq!(shared("... { chat { ... on Node { id } } }"), Shared::Never);
    let skipped = "chat { unreadCount @skip(if: true) }";
    assert_eq!(
        shared(skipped),
        Shared::Never,
        "directives are not looked into"
    );
}

#[test]
fn fragments_are_looked_into() {
    let query = "subscription { ...Root } fragment Root on Subscription { chatEvents(chatId: 1) { ...E } } \
         fragment E on ChatEvent { cursor chat { ...C } } fragment C on Chat { id ...C ";
    assert_eq!(of(&format!("{query} title }}")).shared, Shared::Always);
    assert_eq!(of(&format!("{query} eventCursor }}")).shared, Shared::Never);
}

#[test]
fn what_is_not_events_is_the_viewers_own() {
    assert_eq!(
        of("subscription { chatUpdates { kind } }").shared,
        Shared::Never
    );
}

#[test]
fn a_subscription_has_one_root_field() {
    let refused = [
        "subscription { a: chatUpdates { kind } b: chatUpdates { kind } }",
        "subscription { __typename chatUpdates { kind } }",
        "subscription { ...A chatUpdates { kind } } fragment A on Subscription { b: chatUpdates { kind } }",
        "subscription ($no: Boolean!) { chatUpdates @skip(if: $no) { kind } }",
        "subscription ($no: Boolean!) { ... @include(if: $no) { chatUpdates { kind } } }",
        "subscription { ...A } fragment A on Subscription { ...A }",
    ];
    for query in refused {
        let read = analyse(&parse_query(query).unwrap(), None).unwrap();
        assert_eq!(read, Err(NotOneRoot), "{query}");
    }
    assert!(analyse(&parse_query("{ viewer { id } }").unwrap(), None).is_none());
}

#[test]
fn variables_of_the_place_are_told_from_the_rest() {
    let query = "subscription S($chat: ID!, $after: String, $both: String, $yes: Boolean!) {
        chatEvents(chatId: $chat, after: $after) { cursor @include(if: $yes) } }";
    assert_eq!(
        of(query).only_place,
        [Name::new("chat"), Name::new("after")]
    );
    let query = "subscription ($a: Int) { chatEvents(chatId: $a) { chat { messages(first: $a) { nodes { id } } } } }";
    assert!(of(query).only_place.is_empty());
}

/// Each fragment spreads the next one twice: 2^40 spreads, if one walked them all.
#[test]
fn a_bomb_of_fragments_is_no_bomb() {
    let mut query = "subscription { chatEvents(chatId: 1) { ...F0 } }".to_owned();
    for n in 0..40 {
        let next = n + 1;
        write!(
            query,
            " fragment F{n} on ChatEvent {{ ...F{next} ... {{ ...F{next} }} }}"
        )
        .unwrap();
    }
    query += " fragment F40 on ChatEvent { cursor }";
    assert_eq!(of(&query).shared, Shared::Always);
}

/// Every type of the schema that events can lead to, with its fields, and for whom each is the same.
fn table(sdl: &str) -> String {
    let document = parse_schema(sdl).unwrap();
    let mut lines = Vec::new();
    let mut types: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(ty) = definition else {
            continue;
        };
        let fields = match ty.node.kind {
            TypeKind::Object(object) => object.fields,
            TypeKind::Interface(interface) => interface.fields,
            TypeKind::Scalar
            | TypeKind::Union(_)
            | TypeKind::Enum(_)
            | TypeKind::InputObject(_) => continue,
        };
        let fields = fields.into_iter().map(|field| {
            let leads_to = field.node.ty.node.to_string();
            (field.node.name.node.to_string(), leads_to)
        });
        types.insert(ty.node.name.node.to_string(), fields.collect());
    }
    for (ty, known) in SAME_FOR_ALL {
        let fields = types.get(*ty).unwrap_or_else(|| panic!("no type {ty}"));
        for (name, leads_to) in *known {
            let field = fields.iter().find(|(field, _)| field == name);
            let Some((_, real)) = field else {
                assert!(
                    matches!((*ty, *name), ("ParticipantRemoved", "role")),
                    "no {ty}.{name}"
                );
                continue;
            };
            let real = real.trim_matches(|c| matches!(c, '!' | '[' | ']'));
            if let Some(leads_to) = leads_to {
                assert_eq!(real, *leads_to, "{ty}.{name}");
            } else {
                assert!(!types.contains_key(real), "{ty}.{name} leads to {real}");
            }
        }
        for (name, _) in fields {
            let shared = match same_for_all(ty, name) {
                Some(_) if (*ty, &**name) == IN_HISTORY => "all, in a whole history",
                Some(_) => "all",
                None => "each viewer",
            };
            lines.push(format!("{ty}.{name}: {shared}"));
        }
    }
    lines.sort();
    lines.join("\n")
}
