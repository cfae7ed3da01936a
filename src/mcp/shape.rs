//! What a document takes and answers, as JSON Schema, read off the schema of the API.

use std::collections::HashMap;

use async_graphql::parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, Field, FieldDefinition, InputValueDefinition,
    OperationDefinition, OperationType, Selection, SelectionSet, Type, TypeKind,
    TypeSystemDefinition,
};
use async_graphql::parser::{parse_query, parse_schema};
use async_graphql::{Name, Positioned};
use async_graphql_value::Value as InputValue;
use serde_json::{Map, Value, json};

/// A schema of JSON.
pub(super) type Json = Map<String, Value>;

/// What a document takes and answers.
#[derive(Debug)]
pub(super) struct Shape {
    /// The name of its one root field in the answer.
    pub(super) root: String,
    /// Its variables.
    pub(super) input: Json,
    /// The value of its root field.
    pub(super) output: Json,
}

/// The types of the API.
#[derive(Debug)]
pub(super) struct Types(HashMap<Name, TypeKind>);

/// The scalars of GraphQL itself.
const BUILT_IN: [&str; 5] = ["Boolean", "Float", "ID", "Int", "String"];

/// What goes wrong with a document: a sentence.
pub(super) type Wrong = String;

/// The members of an object.
#[derive(Default)]
struct Members {
    all: Json,
    required: Vec<Value>,
}

impl Types {
    /// Reads a schema.
    pub(super) fn read(sdl: &str) -> Result<Self, Wrong> {
        let schema = parse_schema(sdl).map_err(|error| error.to_string())?;
        let types = schema.definitions.into_iter().filter_map(|definition| {
            let TypeSystemDefinition::Type(definition) = definition else {
                return None;
            };
            Some((definition.node.name.node, definition.node.kind))
        });
        // A schema does not define what GraphQL does.
        let own = BUILT_IN.map(|name| (Name::new(name), TypeKind::Scalar));
        Ok(Self(types.chain(own).collect()))
    }

    /// What a document takes and answers.
    pub(super) fn shape(&self, text: &str) -> Result<Shape, Wrong> {
        let document = parse_query(text).map_err(|error| error.to_string())?;
        let operation = operation(&document)?;
        let root_type = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let [
            Positioned {
                node: Selection::Field(root),
                ..
            },
        ] = operation.selection_set.node.items.as_slice()
        else {
            return Err("it has not one root field".to_owned());
        };
        let definition = self.field(root_type, &root.node)?;
        let answer = Type {
            nullable: false,
            base: definition.ty.node.base.clone(),
        };
        Ok(Shape {
            root: root.node.response_key().node.to_string(),
            input: self.input(root_type, operation, &document)?,
            output: self.value(&answer, &root.node.selection_set.node, &document)?,
        })
    }

    fn kind(&self, name: &str) -> Result<&TypeKind, Wrong> {
        let found = self.0.get(name);
        found.ok_or_else(|| format!("there is no type {name}"))
    }

    fn field(&self, on: &str, field: &Field) -> Result<&FieldDefinition, Wrong> {
        let fields = match self.kind(on)? {
            TypeKind::Object(object) => &object.fields,
            TypeKind::Interface(interface) => &interface.fields,
            TypeKind::Scalar
            | TypeKind::Union(_)
            | TypeKind::Enum(_)
            | TypeKind::InputObject(_) => {
                return Err(format!("{on} has no fields"));
            }
        };
        let name = &field.name.node;
        let found = fields.iter().find(|one| one.node.name.node == *name);
        let found = found.ok_or_else(|| format!("{on} has no field {name}"))?;
        Ok(&found.node)
    }

    /// A value that is answered. What may be null says so; what may be left out is not required.
    fn value(
        &self,
        ty: &Type,
        selection: &SelectionSet,
        document: &ExecutableDocument,
    ) -> Result<Json, Wrong> {
        let (kind, mut schema) = match &ty.base {
            BaseType::List(inner) => {
                let items = self.value(inner, selection, document)?;
                ("array", object(json!({ "items": items })))
            }
            BaseType::Named(name) => match self.kind(name)? {
                TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_) => {
                    let mut members = Members::default();
                    self.select(name, selection, document, true, &mut members)?;
                    ("object", members.schema())
                }
                // Names of a newer server are values as well.
                TypeKind::Enum(_) | TypeKind::Scalar | TypeKind::InputObject(_) => {
                    (scalar(name), Json::new())
                }
            },
        };
        let kind = if ty.nullable {
            json!([kind, "null"])
        } else {
            json!(kind)
        };
        schema.insert("type".to_owned(), kind);
        Ok(schema)
    }

    /// Adds what a selection selects on a type. `certain` says that the object is of this type.
    fn select(
        &self,
        on: &str,
        selection: &SelectionSet,
        document: &ExecutableDocument,
        certain: bool,
        members: &mut Members,
    ) -> Result<(), Wrong> {
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let schema = if field.name.node == "__typename" {
                        object(json!({ "type": "string" }))
                    } else {
                        let ty = &self.field(on, field)?.ty.node;
                        self.value(ty, &field.selection_set.node, document)?
                    };
                    members.add(&field.response_key().node, schema, certain);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = document.fragments.get(name);
                    let fragment = &fragment.ok_or_else(|| format!("there is no {name}"))?.node;
                    let to = &fragment.type_condition.node.on.node;
                    let certain = certain && to == on;
                    self.select(to, &fragment.selection_set.node, document, certain, members)?;
                }
                Selection::InlineFragment(fragment) => {
                    let fragment = &fragment.node;
                    let to = fragment.type_condition.as_ref();
                    let to = to.map_or(on, |to| to.node.on.node.as_str());
                    // Where nothing else is asked for, an object of another type is refused.
                    let certain = certain && (to == on || selection.items.len() == 1);
                    self.select(to, &fragment.selection_set.node, document, certain, members)?;
                }
            }
        }
        Ok(())
    }

    /// The variables of an operation. Each has the description of the argument or the input's field that it is given to.
    fn input(
        &self,
        root_type: &str,
        operation: &OperationDefinition,
        document: &ExecutableDocument,
    ) -> Result<Json, Wrong> {
        let mut members = Members::default();
        for variable in &operation.variable_definitions {
            let variable = &variable.node;
            let (name, ty) = (&variable.name.node, &variable.var_type.node);
            let mut schema = self.argument(ty)?;
            let selection = &operation.selection_set.node;
            let Some(place) = self.place(root_type, selection, document, name)? else {
                return Err(format!("${name} is not used"));
            };
            if let Some(about) = &place.description {
                let about = about.node.replace('\n', " ");
                schema.insert("description".to_owned(), about.into());
            }
            let default = variable.default_value.as_ref();
            let required = !ty.nullable && default.is_none();
            if let Some(default) = default {
                let default = default.node.clone().into_json();
                let default = default.map_err(|error| error.to_string())?;
                schema.insert("default".to_owned(), default);
            }
            members.add(name, schema, required);
        }
        let mut schema = members.schema();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("additionalProperties".to_owned(), false.into());
        Ok(schema)
    }

    /// A value that is taken.
    fn argument(&self, ty: &Type) -> Result<Json, Wrong> {
        Ok(match &ty.base {
            BaseType::List(inner) => {
                object(json!({ "type": "array", "items": self.argument(inner)? }))
            }
            BaseType::Named(name) => match self.kind(name)? {
                TypeKind::Enum(values) => {
                    let values = values.values.iter();
                    let values = values.map(|value| value.node.value.node.as_str());
                    object(json!({ "type": "string", "enum": values.collect::<Vec<_>>() }))
                }
                TypeKind::Scalar => object(json!({ "type": scalar(name) })),
                TypeKind::Object(_)
                | TypeKind::Interface(_)
                | TypeKind::Union(_)
                | TypeKind::InputObject(_) => {
                    return Err(format!("{name} is no argument of a tool"));
                }
            },
        })
    }

    /// The argument or the input's field that a variable is given to.
    fn place(
        &self,
        on: &str,
        selection: &SelectionSet,
        document: &ExecutableDocument,
        variable: &Name,
    ) -> Result<Option<&InputValueDefinition>, Wrong> {
        for item in &selection.items {
            let (on, selection) = match &item.node {
                Selection::Field(field) if field.node.name.node == "__typename" => continue,
                Selection::Field(field) => {
                    let definition = self.field(on, &field.node)?;
                    for (name, value) in &field.node.arguments {
                        let given = given(&definition.arguments, name)?;
                        if let Some(found) = self.place_in(given, &value.node, variable)? {
                            return Ok(Some(found));
                        }
                    }
                    (named(&definition.ty.node), &field.node.selection_set)
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let Some(fragment) = document.fragments.get(name) else {
                        continue;
                    };
                    let to = fragment.node.type_condition.node.on.node.as_str();
                    (to, &fragment.node.selection_set)
                }
                Selection::InlineFragment(fragment) => {
                    let to = fragment.node.type_condition.as_ref();
                    let to = to.map_or(on, |to| to.node.on.node.as_str());
                    (to, &fragment.node.selection_set)
                }
            };
            if let Some(found) = self.place(on, &selection.node, document, variable)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn place_in<'a>(
        &'a self,
        definition: &'a InputValueDefinition,
        value: &InputValue,
        variable: &Name,
    ) -> Result<Option<&'a InputValueDefinition>, Wrong> {
        match value {
            InputValue::Variable(name) => Ok((name == variable).then_some(definition)),
            InputValue::Object(members) => {
                let TypeKind::InputObject(input) = self.kind(named(&definition.ty.node))? else {
                    return Ok(None);
                };
                for (name, value) in members {
                    let given = given(
                        &input.fields,
                        &Positioned::new(name.clone(), definition.name.pos),
                    )?;
                    if let Some(found) = self.place_in(given, value, variable)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            InputValue::List(values) => {
                for value in values {
                    if let Some(found) = self.place_in(definition, value, variable)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            InputValue::Null
            | InputValue::Number(_)
            | InputValue::String(_)
            | InputValue::Boolean(_)
            | InputValue::Binary(_)
            | InputValue::Enum(_) => Ok(None),
        }
    }
}

impl Members {
    fn add(&mut self, name: &str, schema: Json, certain: bool) {
        let known = self.all.insert(name.to_owned(), schema.into()).is_some();
        if certain && !known {
            self.required.push(name.into());
        }
    }

    fn schema(self) -> Json {
        let mut schema = Json::new();
        schema.insert("properties".to_owned(), self.all.into());
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.into());
        }
        schema
    }
}

/// The one operation of a document.
fn operation(document: &ExecutableDocument) -> Result<&OperationDefinition, Wrong> {
    let one = match &document.operations {
        DocumentOperations::Single(operation) => Some(operation),
        DocumentOperations::Multiple(operations) => {
            let mut all = operations.values();
            all.next().filter(|_| all.next().is_none())
        }
    };
    let one = one.ok_or("it has not one operation")?;
    Ok(&one.node)
}

fn given<'a>(
    definitions: &'a [Positioned<InputValueDefinition>],
    name: &Positioned<Name>,
) -> Result<&'a InputValueDefinition, Wrong> {
    let found = definitions
        .iter()
        .find(|one| one.node.name.node == name.node);
    let found = found.ok_or_else(|| format!("there is no argument {}", name.node))?;
    Ok(&found.node)
}

/// The type that a type is made of.
fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

/// What a scalar, or the name of an enum's value, is in JSON.
fn scalar(name: &str) -> &'static str {
    match name {
        "Int" => "integer",
        "Float" => "number",
        "Boolean" => "boolean",
        "JSONObject" => "object",
        _ => "string",
    }
}

/// The members of a JSON object.
pub(super) fn object(value: Value) -> Json {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Json::new()
        }
    }
}
