//! The values of an operation's variables (GraphQL, section 6.1.2, `CoerceVariableValues`). The engine would
//! execute without a value that it needs.

use std::fmt::Write as _;

use async_graphql::parser::types::{BaseType, Type, TypeKind, VariableDefinition};
use async_graphql::{Name, Number, Positioned, ServerError, Variables};
use async_graphql_value::ConstValue;
use chrono::DateTime;

use super::bad;
use super::types::Types;

/// The values that were given, coerced to the types of the operation's variables. Values of other names are left
/// out.
pub(super) fn coerce(
    types: &Types,
    definitions: &[Positioned<VariableDefinition>],
    mut given: Variables,
) -> Result<Variables, ServerError> {
    let mut coerced = Variables::default();
    for definition in definitions {
        let position = definition.pos;
        let definition = &definition.node;
        let name = &definition.name.node;
        let ty = &definition.var_type.node;
        let default = definition.default_value.as_ref();
        let value = match (given.remove(name), default) {
            (Some(value), _) => {
                let mut place = format!("${name}");
                coerce_value(types, ty, value, &mut place).map_err(|why| {
                    bad(
                        format!("The value of {place} does not fit: {why}."),
                        position,
                    )
                })?
            }
            // Validation has looked at the default.
            (None, Some(default)) => default.node.clone(),
            (None, None) if ty.nullable => continue,
            (None, None) => {
                let why = format!("The variable ${name} of type {ty} needs a value.");
                return Err(bad(why, position));
            }
        };
        coerced.insert(name.clone(), value);
    }
    Ok(coerced)
}

/// Coerces one value. `place` names what is wrong where an error is returned.
fn coerce_value(
    types: &Types,
    ty: &Type,
    value: ConstValue,
    place: &mut String,
) -> Result<ConstValue, String> {
    if value == ConstValue::Null {
        return if ty.nullable {
            Ok(value)
        } else {
            Err(format!("it is null, and its type is {ty}"))
        };
    }
    let inner = match &ty.base {
        BaseType::Named(name) => return coerce_named(types, name, value, place),
        BaseType::List(inner) => inner,
    };
    let ConstValue::List(items) = value else {
        // A value where a list is expected is a list of it alone.
        return Ok(ConstValue::List(vec![coerce_value(
            types, inner, value, place,
        )?]));
    };
    let end = place.len();
    let mut coerced = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        write!(place, "[{index}]").ok();
        coerced.push(coerce_value(types, inner, item, place)?);
        place.truncate(end);
    }
    Ok(ConstValue::List(coerced))
}

fn coerce_named(
    types: &Types,
    name: &Name,
    value: ConstValue,
    place: &mut String,
) -> Result<ConstValue, String> {
    match types.kind(name) {
        Some(TypeKind::InputObject(object)) => {
            let ConstValue::Object(mut members) = value else {
                return Err(format!("it is no object of type {name}"));
            };
            let end = place.len();
            let mut coerced = async_graphql::indexmap::IndexMap::new();
            for field in &object.fields {
                let field = &field.node;
                write!(place, ".{}", field.name.node).ok();
                let ty = &field.ty.node;
                match members.swap_remove(&field.name.node) {
                    Some(member) => {
                        let member = coerce_value(types, ty, member, place)?;
                        coerced.insert(field.name.node.clone(), member);
                    }
                    None if ty.nullable || field.default_value.is_some() => {}
                    None => return Err(format!("it is missing, and its type is {ty}")),
                }
                place.truncate(end);
            }
            match members.keys().next() {
                // The name is the client's own, and may be long.
                Some(_) => Err(format!("it has a member that {name} has not")),
                None => Ok(ConstValue::Object(coerced)),
            }
        }
        Some(TypeKind::Enum(known)) => {
            let text = if let ConstValue::String(text) = &value {
                text.as_str()
            } else if let ConstValue::Enum(name) = &value {
                name.as_str()
            } else {
                return Err(format!("it is no value of {name}"));
            };
            let mut values = known.values.iter();
            if values.any(|known| known.node.value.node == text) {
                Ok(value)
            } else {
                Err(format!("it is no value of {name}"))
            }
        }
        Some(TypeKind::Scalar) | None => coerce_scalar(name, value),
        // No type for input, which validation says.
        Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)) => Ok(value),
    }
}

/// Coerces a scalar (GraphQL, section 3.5).
fn coerce_scalar(name: &Name, value: ConstValue) -> Result<ConstValue, String> {
    let fits = match (name.as_str(), &value) {
        ("Int", ConstValue::Number(number)) => match whole(number) {
            Some(number) => return Ok(ConstValue::Number(number.into())),
            None => false,
        },
        ("ID", ConstValue::Number(number)) if number.is_i64() || number.is_u64() => {
            return Ok(ConstValue::String(number.to_string()));
        }
        ("Float", ConstValue::Number(_))
        | ("String" | "ID", ConstValue::String(_))
        | ("Boolean", ConstValue::Boolean(_)) => true,
        ("DateTime", ConstValue::String(text)) => DateTime::parse_from_rfc3339(text).is_ok(),
        ("Int" | "Float" | "String" | "ID" | "Boolean" | "DateTime", _) => false,
        // No type that has values of its own form.
        _ => true,
    };
    if fits {
        Ok(value)
    } else {
        Err(format!("it is no {name}"))
    }
}

/// The number as an `Int`: whole, however it is written, and of 32 bits.
fn whole(number: &Number) -> Option<i32> {
    if let Some(whole) = number.as_i64() {
        return whole.try_into().ok();
    }
    let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
    number.to_string().parse().ok()
}
