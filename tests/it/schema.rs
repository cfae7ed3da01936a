//! The public contract: `schema.graphql` is current, holds the fixed core, and explains itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use async_graphql::Positioned;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use colloquy::graphql::sdl;

/// The fixed part of the contract, without its hints.
const CORE: &str = include_str!("core.graphql");

fn types(sdl: &str) -> Vec<TypeDefinition> {
    let definitions = parse_schema(sdl).unwrap().definitions;
    let types = definitions
        .into_iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(definition.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
    types.collect()
}

/// Everything a client can rely on, one line each.
fn promises(sdl: &str) -> BTreeSet<String> {
    types(sdl).iter().flat_map(promises_of).collect()
}

fn promises_of(definition: &TypeDefinition) -> Vec<String> {
    let name = &definition.name.node;
    let mut lines = Vec::new();
    match &definition.kind {
        TypeKind::Scalar => {
            lines.push(format!("scalar {name}"));
            for directive in &definition.directives {
                let directive = &directive.node;
                for (argument, value) in &directive.arguments {
                    let (directive, argument) = (&directive.name.node, &argument.node);
                    lines.push(format!(
                        "scalar {name} @{directive}({argument}: {})",
                        value.node
                    ));
                }
            }
        }
        TypeKind::Object(object) => {
            lines.push(format!("type {name}"));
            let interfaces = object.implements.iter();
            lines.extend(interfaces.map(|of| format!("{name} implements {}", of.node)));
            lines.extend(object.fields.iter().flat_map(|f| of_field(name, &f.node)));
        }
        TypeKind::Interface(interface) => {
            lines.push(format!("interface {name}"));
            lines.extend(
                interface
                    .fields
                    .iter()
                    .flat_map(|f| of_field(name, &f.node)),
            );
        }
        TypeKind::Union(union) => {
            let members = union.members.iter();
            lines.extend(members.map(|member| format!("union {name} = {}", member.node)));
        }
        TypeKind::Enum(values) => {
            lines.push(format!("enum {name}"));
            let values = values.values.iter();
            lines.extend(values.map(|value| format!("{name}.{}", value.node.value.node)));
        }
        TypeKind::InputObject(input) => {
            lines.push(format!("input {name}"));
            lines.extend(input.fields.iter().flat_map(|f| of_input(name, &f.node)));
        }
    }
    lines
}

fn of_field(of: &str, field: &FieldDefinition) -> Vec<String> {
    let name = format!("{of}.{}", field.name.node);
    let mut lines = vec![format!("{name}: {}", field.ty.node)];
    let arguments = field.arguments.iter();
    lines.extend(arguments.flat_map(|argument| of_input(&name, &argument.node)));
    lines
}

fn of_input(of: &str, input: &InputValueDefinition) -> Vec<String> {
    let name = format!("{of}({})", input.name.node);
    let mut lines = vec![format!("{name}: {}", input.ty.node)];
    let default = input.default_value.as_ref();
    lines.extend(default.map(|value| format!("{name} = {}", value.node)));
    lines
}

/// What a client must give: arguments and input fields that are neither nullable nor have a default.
fn demands(sdl: &str) -> BTreeSet<String> {
    let required =
        |input: &InputValueDefinition| !input.ty.node.nullable && input.default_value.is_none();
    let mut demands = BTreeSet::new();
    for definition in types(sdl) {
        let of = &definition.name.node;
        let (fields, inputs) = parts(&definition);
        for field in fields {
            let required = field.arguments.iter().filter(|a| required(&a.node));
            let (name, arguments) = (&field.name.node, required.map(|a| &a.node.name.node));
            demands.extend(arguments.map(|argument| format!("{of}.{name}({argument})")));
        }
        let required = inputs.into_iter().filter(|input| required(input));
        demands.extend(required.map(|input| format!("{of}({})", input.name.node)));
    }
    demands
}

fn parts(definition: &TypeDefinition) -> (Vec<&FieldDefinition>, Vec<&InputValueDefinition>) {
    match &definition.kind {
        TypeKind::Object(of) => (of.fields.iter().map(|f| &f.node).collect(), Vec::new()),
        TypeKind::Interface(of) => (of.fields.iter().map(|f| &f.node).collect(), Vec::new()),
        TypeKind::InputObject(of) => (Vec::new(), of.fields.iter().map(|f| &f.node).collect()),
        TypeKind::Scalar | TypeKind::Union(_) | TypeKind::Enum(_) => (Vec::new(), Vec::new()),
    }
}

/// What the core promises and a schema does not hold.
fn broken(sdl: &str) -> Vec<String> {
    let ours = promises(sdl);
    promises(CORE).difference(&ours).cloned().collect()
}

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    if std::env::var_os("COLLOQUY_BLESS").is_some() {
        fs::write(&path, sdl()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == sdl(),
        "schema.graphql is stale: run `just bless` and review the diff"
    );
}

#[test]
fn the_core_is_whole() {
    assert_eq!(broken(&sdl()), [""; 0]);
}

#[test]
fn what_the_core_leaves_optional_stays_optional() {
    let (core, ours) = (promises(CORE), demands(&sdl()));
    // A new type may demand what it likes; a field or input of the core may not demand more than it did.
    let known = |demand: &String| {
        let of = demand.split_once('(').unwrap().0;
        let field = format!("{of}: ");
        core.contains(&format!("input {of}")) || core.iter().any(|line| line.starts_with(&field))
    };
    let demanded = demands(CORE);
    let new: Vec<_> = ours.difference(&demanded).filter(|d| known(d)).collect();
    assert_eq!(new, [""; 0]);
}

/// The comparison itself notices each kind of change.
#[test]
fn a_broken_promise_is_noticed() {
    let sdl = sdl();
    let changes = [
        ("title: String\n", "title: Int\n", "Chat.title: String"),
        ("title: String\n", "title: String!\n", "Chat.title: String"),
        (
            "unreadCount: Int!",
            "unread: Int!",
            "Chat.unreadCount: Int!",
        ),
        (
            "type Chat implements Node",
            "type Chat",
            "Chat implements Node",
        ),
        ("= MEMBER", "", "AddParticipantsInput(role) = MEMBER"),
        ("= []", "", "CreateGroupChatInput(participantIds) = []"),
        ("\n  TOO_MANY\n", "\n  MANY\n", "UserErrorCode.TOO_MANY"),
        (
            "andimarek/date-time",
            "else",
            "scalar DateTime @specifiedBy",
        ),
        ("after: String,", "after: ID,", "Query.chats(after): String"),
    ];
    for (from, to, promise) in changes {
        assert!(sdl.contains(from), "{from} is not in the schema");
        let missing = broken(&sdl.replace(from, to));
        let noticed = missing.iter().any(|line| line.starts_with(promise));
        assert!(noticed, "{from} -> {to}: {missing:?}");
    }
}

/// A full sentence, or several.
fn is_sentence(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(char::is_uppercase) && text.ends_with('.')
}

/// The names under a definition, and whether each is explained.
fn explained(definition: &TypeDefinition) -> Vec<(String, bool)> {
    let of = definition.name.node.as_str();
    let says = |text: &Option<Positioned<String>>| {
        text.as_ref().is_some_and(|text| is_sentence(&text.node))
    };
    let mut all = vec![(of.to_owned(), says(&definition.description))];
    let (fields, inputs) = parts(definition);
    for field in fields {
        let name = format!("{of}.{}", field.name.node);
        for argument in &field.arguments {
            let argument = &argument.node;
            let place = format!("{name}({})", argument.name.node);
            all.push((place, says(&argument.description)));
        }
        all.push((name, says(&field.description)));
    }
    let inputs = inputs.into_iter();
    all.extend(inputs.map(|i| (format!("{of}.{}", i.name.node), says(&i.description))));
    if let TypeKind::Enum(values) = &definition.kind {
        let values = values.values.iter().map(|value| &value.node);
        all.extend(values.map(|v| (format!("{of}.{}", v.value.node), says(&v.description))));
    }
    all
}

#[test]
fn everything_is_explained() {
    let all: Vec<_> = types(&sdl()).iter().flat_map(explained).collect();
    assert!(all.len() > 200, "only {} names were looked at", all.len());
    let mute = all.into_iter().filter(|(_, explained)| !explained);
    let mute: Vec<_> = mute.map(|(name, _)| name).collect();
    assert_eq!(mute, [""; 0]);
}
