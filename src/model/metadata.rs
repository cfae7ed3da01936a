//! What an application keeps with a chat or a message.

use std::sync::Arc;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Refusal;

/// The most bytes that metadata may have, written as JSON without spaces.
pub const METADATA_MAX_BYTES: usize = 4096;

/// How deep metadata may nest: the object itself is at depth 1.
pub const METADATA_MAX_DEPTH: usize = 16;

/// An object of the application's own, of bounded size. As the database keeps it, the order of its names is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[serde(transparent)]
#[diesel(sql_type = Jsonb)]
pub struct Metadata(Arc<Map<String, Value>>);

impl Metadata {
    /// Checks an object.
    ///
    /// # Errors
    ///
    /// `TOO_LONG` beyond 4096 bytes, `INVALID` where it nests deeper than 16, a number in it is beyond 1e30 or below 1e-30,
    /// or a text in it has NUL, which Postgres does not keep.
    pub fn new(object: Map<String, Value>) -> Result<Self, Refusal> {
        for value in object.values() {
            check(value, METADATA_MAX_DEPTH - 1)?;
        }
        if object.keys().any(|key| key.contains('\0')) {
            return Err(nul());
        }
        let metadata = Self(Arc::new(object));
        if metadata.length() > METADATA_MAX_BYTES {
            return Err(Refusal::too_long(
                "Metadata has at most 4096 bytes, written as JSON.",
            ));
        }
        Ok(metadata)
    }

    /// The object.
    #[must_use]
    pub fn as_object(&self) -> &Map<String, Value> {
        &self.0
    }

    /// How many bytes it has, written as JSON without spaces.
    #[must_use]
    pub fn length(&self) -> usize {
        let mut counter = Counter(0);
        // Writing to it cannot fail.
        let _ = serde_json::to_writer(&mut counter, &*self.0);
        counter.0
    }
}

fn nul() -> Refusal {
    Refusal::invalid("Metadata cannot contain the NUL character.")
}

fn check(value: &Value, depth: usize) -> Result<(), Refusal> {
    let too_deep = || Refusal::invalid("Metadata nests at most 16 deep.");
    match value {
        Value::String(text) if text.contains('\0') => Err(nul()),
        // Postgres writes out every digit.
        Value::Number(number) if number.as_f64().is_some_and(is_extreme) => Err(Refusal::invalid(
            "Numbers in metadata are between 1e-30 and 1e30, or 0.",
        )),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        Value::Array(_) | Value::Object(_) if depth == 0 => Err(too_deep()),
        Value::Array(values) => values.iter().try_for_each(|value| check(value, depth - 1)),
        Value::Object(object) if object.keys().any(|key| key.contains('\0')) => Err(nul()),
        Value::Object(object) => object
            .values()
            .try_for_each(|value| check(value, depth - 1)),
    }
}

fn is_extreme(number: f64) -> bool {
    number != 0.0 && !(1e-30..=1e30).contains(&number.abs())
}

/// Counts what is written to it.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl FromSql<Jsonb, Pg> for Metadata {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let value = <Value as FromSql<Jsonb, Pg>>::from_sql(value)?;
        if let Value::Object(object) = value {
            Ok(Self(Arc::new(object)))
        } else {
            Err("metadata that is no object".into())
        }
    }
}

impl ToSql<Jsonb, Pg> for Metadata {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write_jsonb(out, &*self.0)
    }
}

/// Writes a value as Postgres takes `jsonb`: the version of the format, then the text.
pub(super) fn write_jsonb(
    out: &mut Output<'_, '_, Pg>,
    value: &impl Serialize,
) -> serialize::Result {
    use std::io::Write as _;
    out.write_all(&[1])?;
    serde_json::to_writer(out, value)?;
    Ok(serialize::IsNull::No)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::RefusalCode;

    fn code(value: Value) -> Option<RefusalCode> {
        let Value::Object(object) = value else {
            panic!("no object");
        };
        Metadata::new(object).err().map(|refusal| refusal.code)
    }

    fn nested(depth: usize) -> Value {
        (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn an_object_is_bounded_in_size_and_depth() {
        assert_eq!(code(json!({})), None);
        // Eight bytes around the text.
        assert_eq!(code(json!({ "a": "x".repeat(4088) })), None);
        assert_eq!(
            code(json!({ "a": "x".repeat(4089) })),
            Some(RefusalCode::TooLong)
        );
        assert_eq!(code(nested(16)), None);
        assert_eq!(code(nested(17)), Some(RefusalCode::Invalid));
        assert_eq!(
            code(json!({ "a": [[[[nested(13)]]]] })),
            Some(RefusalCode::Invalid)
        );
    }

    #[test]
    fn numbers_that_would_grow_are_refused() {
        for number in [1e31, -1e31, 1e-31] {
            assert_eq!(code(json!({ "a": [number] })), Some(RefusalCode::Invalid));
        }
        assert_eq!(code(json!({ "a": [0, -0.5, 1e30, 1e-30, u64::MAX] })), None);
    }

    #[test]
    fn nul_is_found_everywhere() {
        for value in [
            json!({ "a\0": 1 }),
            json!({ "a": "\0" }),
            json!({ "a": [{ "\0": 1 }] }),
            json!({ "a": ["x", "y\0"] }),
        ] {
            assert_eq!(code(value), Some(RefusalCode::Invalid));
        }
    }
}
