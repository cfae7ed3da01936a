//! The schema's types, as judging a request needs them.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, OperationType, Type, TypeKind, TypeSystemDefinition,
};

/// The types of a schema, by name.
#[derive(Debug)]
pub(super) struct Types(HashMap<Name, TypeKind>);

impl Types {
    /// Reads a schema's definition. What cannot be read has no types.
    pub(super) fn new(sdl: &str) -> Self {
        let definitions = parse_schema(sdl).map(|document| document.definitions);
        let types = definitions.unwrap_or_default().into_iter();
        Self(
            types
                .filter_map(|definition| match definition {
                    TypeSystemDefinition::Type(ty) => Some((ty.node.name.node, ty.node.kind)),
                    TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
                })
                .collect(),
        )
    }

    /// What a type is. The scalars that every schema has are not written in it.
    pub(super) fn kind(&self, name: &str) -> Option<&TypeKind> {
        self.0.get(name)
    }

    /// A field of a composite type.
    pub(super) fn field(&self, ty: &str, field: &str) -> Option<&FieldDefinition> {
        let fields = match self.kind(ty)? {
            TypeKind::Object(object) => &object.fields,
            TypeKind::Interface(interface) => &interface.fields,
            TypeKind::Scalar
            | TypeKind::Union(_)
            | TypeKind::Enum(_)
            | TypeKind::InputObject(_) => {
                return None;
            }
        };
        let mut fields = fields.iter().map(|definition| &definition.node);
        fields.find(|definition| definition.name.node == field)
    }
}

/// The name of a type, without its lists.
pub(super) fn base(ty: &Type) -> &Name {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => base(inner),
    }
}

/// The name of the type at the root of an operation.
pub(super) fn root(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}
