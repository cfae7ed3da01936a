//! Scalars of our own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{SecondsFormat, Utc};
use serde_json::Map;

use crate::model::{Metadata, Refusal};

/// A point in time as RFC 3339 writes it, in UTC with exactly three digits of milliseconds, such as
/// `2026-11-22T10:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DateTime(chrono::DateTime<Utc>);

/// A point in time as RFC 3339 writes it, in UTC with exactly three digits of milliseconds, such as
/// `2026-11-22T10:00:00.000Z`.
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/andimarek/date-time"
)]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        if let Value::String(text) = &value {
            Ok(Self(text.parse()?))
        } else {
            Err(InputValueError::expected_type(value))
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl From<chrono::DateTime<Utc>> for DateTime {
    fn from(time: chrono::DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl From<DateTime> for chrono::DateTime<Utc> {
    fn from(time: DateTime) -> Self {
        time.0
    }
}

/// An object of JSON (RFC 8259) that the application keeps. It has at most 4096 bytes, written without spaces, and nests at
/// most 16 deep. The order of its names is not kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonObject(Map<String, serde_json::Value>);

/// An object of JSON (RFC 8259) that the application keeps. It has at most 4096 bytes, written without spaces, and nests at
/// most 16 deep. The order of its names is not kept.
#[Scalar(name = "JSONObject")]
impl ScalarType for JsonObject {
    fn parse(value: Value) -> InputValueResult<Self> {
        if let serde_json::Value::Object(object) = value.into_json()? {
            Ok(Self(object))
        } else {
            Err(InputValueError::custom("Give an object."))
        }
    }

    fn to_value(&self) -> Value {
        object_value(&self.0)
    }
}

impl JsonObject {
    /// Checks it as what an input field named `metadata` has.
    pub(super) fn checked(self) -> Result<Metadata, Refusal> {
        Metadata::new(self.0).map_err(|refusal| refusal.at("metadata"))
    }
}

impl From<&Metadata> for JsonObject {
    fn from(metadata: &Metadata) -> Self {
        Self(metadata.as_object().clone())
    }
}

/// An object as a field's value.
pub(super) fn object_value(object: &Map<String, serde_json::Value>) -> Value {
    let object = serde_json::Value::Object(object.clone());
    // What came from JSON goes back to it.
    Value::from_json(object).unwrap_or(Value::Null)
}
