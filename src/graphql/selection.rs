//! What a subscription selects, found in its document without executing it: its one root field, whether its
//! answers are the same for every viewer, and which of its variables they depend on.

use std::collections::HashSet;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Positioned, Request};
use async_graphql_value::Value;

/// For whom the answers of a selection are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    /// For nobody else: it names something that is the viewer's own, or may be.
    Never,
    /// For everybody in a chat that shows its whole history to everybody.
    InWholeHistory,
    /// For everybody in the chat.
    Always,
}

/// What the answers of a subscription depend on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Analysis {
    pub(super) shared: Shared,
    /// The variables that say where the stream begins and nothing else: the answers do not depend on them.
    pub(super) only_place: Vec<Name>,
}

/// Why a document is no subscription that can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A subscription has exactly one root field, without @skip and @include.")]
pub(super) struct NotOneRoot;

/// The fields whose value is the same for every viewer, each with the type it leads to. Whatever is not here
/// is the viewer's own until it is shown not to be, so a new field need not be thought of here to be right.
const SAME_FOR_ALL: &[(&str, &[(&str, Option<&str>)])] = &[
    ("ChatEvent", EVENT),
    ("MessageSent", MESSAGE_EVENT),
    ("MessageEdited", MESSAGE_EVENT),
    ("MessageDeleted", MESSAGE_EVENT),
    ("MessageRestored", MESSAGE_EVENT),
    ("ParticipantAdded", PERSON_EVENT),
    ("ParticipantRemoved", PERSON_EVENT),
    ("ParticipantRoleChanged", PERSON_EVENT),
    (
        "ChatRenamed",
        &[
            ("cursor", None),
            ("occurredAt", None),
            ("chat", Some("Chat")),
            ("actor", Some("User")),
            ("title", None),
        ],
    ),
    (
        "ChatHistoryChanged",
        &[
            ("cursor", None),
            ("occurredAt", None),
            ("chat", Some("Chat")),
            ("actor", Some("User")),
            ("history", None),
        ],
    ),
    ("ChatDeleted", EVENT),
    ("ChatRestored", EVENT),
    (
        "Chat",
        &[
            ("id", None),
            ("kind", None),
            ("title", None),
            ("history", None),
            ("createdAt", None),
            ("createdBy", Some("User")),
            ("lastActivityAt", None),
            ("deletedAt", None),
        ],
    ),
    (
        "Message",
        &[
            ("id", None),
            ("chat", Some("Chat")),
            ("sender", Some("User")),
            ("body", None),
            ("createdAt", None),
            ("editedAt", None),
            ("deletedAt", None),
            ("replyTo", Some("Message")),
        ],
    ),
    (
        "User",
        &[("id", None), ("displayName", None), ("avatarUrl", None)],
    ),
];

const EVENT: &[(&str, Option<&str>)] = &[
    ("cursor", None),
    ("occurredAt", None),
    ("chat", Some("Chat")),
    ("actor", Some("User")),
];

const MESSAGE_EVENT: &[(&str, Option<&str>)] = &[
    ("cursor", None),
    ("occurredAt", None),
    ("chat", Some("Chat")),
    ("actor", Some("User")),
    ("message", Some("Message")),
];

const PERSON_EVENT: &[(&str, Option<&str>)] = &[
    ("cursor", None),
    ("occurredAt", None),
    ("chat", Some("Chat")),
    ("actor", Some("User")),
    ("user", Some("User")),
    ("role", None),
];

/// The type that the root field leads to, where its answers can be shared at all.
const ROOTS: &[(&str, &str)] = &[("chatEvents", "ChatEvent")];

/// An answer to an older message, which stands in history that not everybody may see.
const IN_HISTORY: (&str, &str) = ("Message", "replyTo");

/// Analyses the subscription of a request; `None` where the document cannot be read, or has no such
/// operation, which execution will say better.
pub(super) fn analyse(request: &mut Request) -> Option<Result<Analysis, NotOneRoot>> {
    let name = request.operation_name.clone();
    let document = request.parsed_query().ok()?;
    let operation = operation(document, name.as_deref())?;
    (operation.ty == OperationType::Subscription).then(|| Reader::new(document).read(operation))
}

/// The operation that a request means.
fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| name == wanted)),
        None => operations.next(),
    };
    found.map(|(_, operation)| &operation.node)
}

/// Walks a document. A fragment is looked into once for each type it is spread on, so its cost is bounded by
/// the document's length, whatever spreads what.
struct Reader<'a> {
    document: &'a ExecutableDocument,
    seen: HashSet<(&'a str, &'static str)>,
    used: HashSet<&'a Name>,
    shared: Shared,
}

impl<'a> Reader<'a> {
    fn new(document: &'a ExecutableDocument) -> Self {
        Self {
            document,
            seen: HashSet::new(),
            used: HashSet::new(),
            shared: Shared::Always,
        }
    }

    fn read(mut self, operation: &'a OperationDefinition) -> Result<Analysis, NotOneRoot> {
        let mut roots = Vec::new();
        self.roots(&operation.selection_set, &mut roots)?;
        let [root] = roots.as_slice() else {
            return Err(NotOneRoot);
        };
        let conditional = |directive: &Positioned<Directive>| {
            matches!(directive.node.name.node.as_str(), "skip" | "include")
        };
        if root.directives.iter().any(conditional) {
            return Err(NotOneRoot);
        }
        let name = root.name.node.as_str();
        match ROOTS.iter().find(|(root, _)| *root == name) {
            Some((_, ty)) => self.selection(&root.selection_set.node, Some(ty)),
            None => self.selection(&root.selection_set.node, None),
        }
        self.directives(&operation.directives);
        self.directives(&root.directives);
        let place = root
            .arguments
            .iter()
            .filter_map(|(_, value)| match &value.node {
                Value::Variable(name) => Some(name),
                _ => None,
            });
        let only_place = place.filter(|name| !self.used.contains(name));
        Ok(Analysis {
            only_place: only_place.cloned().collect(),
            shared: self.shared,
        })
    }

    /// Collects the root fields through fragments.
    fn roots(
        &mut self,
        set: &'a Positioned<SelectionSet>,
        roots: &mut Vec<&'a Field>,
    ) -> Result<(), NotOneRoot> {
        for selection in &set.node.items {
            let (directives, inner) = match &selection.node {
                Selection::Field(field) => {
                    roots.push(&field.node);
                    continue;
                }
                Selection::InlineFragment(fragment) => (
                    &fragment.node.directives,
                    Some(&fragment.node.selection_set),
                ),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = self.document.fragments.get(name);
                    let fragment = fragment.filter(|_| self.seen.insert((name.as_str(), "")));
                    let set = fragment.map(|fragment| &fragment.node.selection_set);
                    (&spread.node.directives, set)
                }
            };
            if !directives.is_empty() {
                return Err(NotOneRoot);
            }
            if let Some(set) = inner {
                self.roots(set, roots)?;
            }
        }
        Ok(())
    }

    /// Reads a selection on a type; `None` where the type is beyond what is known to be the same for all.
    fn selection(&mut self, set: &'a SelectionSet, ty: Option<&'static str>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(&field.node, ty),
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.node.directives);
                    let condition = fragment.node.type_condition.as_ref();
                    let ty = condition.map_or(ty, |on| known_type(&on.node.on.node));
                    self.selection(&fragment.node.selection_set.node, ty);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives);
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name) {
                        let ty = known_type(&fragment.node.type_condition.node.on.node);
                        if self.seen.insert((name.as_str(), ty.unwrap_or("?"))) {
                            self.selection(&fragment.node.selection_set.node, ty);
                        }
                    }
                }
            }
        }
    }

    fn field(&mut self, field: &'a Field, ty: Option<&'static str>) {
        self.directives(&field.directives);
        for (_, value) in &field.arguments {
            self.value(&value.node);
        }
        let name = field.name.node.as_str();
        if name == "__typename" {
            return;
        }
        let known = ty.and_then(|ty| same_for_all(ty, name));
        let shared = match (ty, known) {
            (Some(ty), Some(_)) if (ty, name) == IN_HISTORY => Shared::InWholeHistory,
            (_, Some(_)) => Shared::Always,
            (_, None) => Shared::Never,
        };
        self.shared = self.shared.min(shared);
        self.selection(&field.selection_set.node, known.flatten());
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>]) {
        for directive in directives {
            for (_, value) in &directive.node.arguments {
                self.value(&value.node);
            }
        }
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Variable(name) => {
                self.used.insert(name);
            }
            Value::List(values) => values.iter().for_each(|value| self.value(value)),
            Value::Object(members) => members.values().for_each(|value| self.value(value)),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_) => {}
        }
    }
}

fn known_type(name: &Name) -> Option<&'static str> {
    let known = SAME_FOR_ALL.iter().find(|(ty, _)| name == ty);
    known.map(|(ty, _)| *ty)
}

/// The type that a field leads to, where its value is the same for all.
fn same_for_all(ty: &str, field: &str) -> Option<Option<&'static str>> {
    let (_, fields) = SAME_FOR_ALL.iter().find(|(known, _)| *known == ty)?;
    let (_, leads_to) = fields.iter().find(|(known, _)| *known == field)?;
    Some(*leads_to)
}

/// Every type of the schema that events can lead to, with its fields, and for whom each is the same.
#[cfg(test)]
fn table(sdl: &str) -> String {
    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
    let document = parse_schema(sdl).unwrap();
    let mut lines = Vec::new();
    let mut types: std::collections::HashMap<String, Vec<(String, String)>> =
        std::collections::HashMap::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(ty) = definition else {
            continue;
        };
        let fields = match ty.node.kind {
            TypeKind::Object(object) => object.fields,
            TypeKind::Interface(interface) => interface.fields,
            _ => continue,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Analysis {
        analyse(&mut Request::new(query)).unwrap().unwrap()
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
            let read = analyse(&mut Request::new(query)).unwrap();
            assert_eq!(read, Err(NotOneRoot), "{query}");
        }
        assert!(analyse(&mut Request::new("{ viewer { id } }")).is_none());
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
            query += &format!(" fragment F{n} on ChatEvent {{ ...F{next} ... {{ ...F{next} }} }}");
        }
        query += " fragment F40 on ChatEvent { cursor }";
        assert_eq!(of(&query).shared, Shared::Always);
    }
}
