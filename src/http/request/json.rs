//! JSON, read in one pass and in bounded memory.
//!
//! The visitors take JSON of any shape, so that an error is always one of the JSON itself; what is of a wrong shape
//! is judged afterwards. Values are built here and not by `serde_json`, for two reasons. An object may take a hundred
//! times its bytes in memory, so their number is bounded. And `serde_json` reads a text within an object with a
//! certain key of its own as JSON again, without the bound on depth.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most values in a body, at any depth. The longest lists of ids that the API takes have a few hundred.
pub(super) const VALUES_MAX: usize = 16 * 1024;

/// The members of a request, whatever they are. The last wins where one is given twice.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) query: Option<Value>,
    pub(super) operation_name: Option<Value>,
    pub(super) variables: Option<Value>,
    pub(super) extensions: Option<Value>,
    pub(super) document_id: Option<Value>,
    /// Whether there were more values than there may be, so that some are missing.
    pub(super) exhausted: bool,
}

/// What JSON is.
#[derive(Debug)]
pub(super) enum Shape {
    Object(Box<Members>),
    /// A list, with as many of its elements as were wanted.
    List {
        elements: Vec<Shape>,
        length: usize,
    },
    /// Anything else.
    Scalar,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Member {
    Query,
    OperationName,
    Variables,
    Extensions,
    DocumentId,
    #[serde(other)]
    Other,
}

/// Reads JSON, with at most `most` elements where it is a list. It is nested 127 deep at the most, which
/// `serde_json` sees to.
pub(super) fn read(text: &str, most: Option<usize>) -> serde_json::Result<Shape> {
    let left = &Cell::new(VALUES_MAX);
    let elements_max = most.unwrap_or(0);
    whole(text, Shaped { elements_max, left })
}

/// Reads a value, and says whether there were more values in it than there may be.
pub(super) fn read_value(text: &str) -> serde_json::Result<(Value, bool)> {
    let left = &Cell::new(VALUES_MAX);
    let value = whole(text, Tree { left })?;
    Ok((value, left.get() == 0))
}

fn whole<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> serde_json::Result<S::Value> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = seed.deserialize(&mut json)?;
    json.end()?;
    Ok(read)
}

/// Lets scalars be the same value, whatever they are.
macro_rules! scalars_are {
    ($value:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

/// Reads the shape of what may be a request, or a list of them.
#[derive(Clone, Copy)]
struct Shaped<'a> {
    elements_max: usize,
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Shaped<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Shape, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shaped<'_> {
    type Value = Shape;

    scalars_are!(Shape::Scalar);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let (mut elements, mut length) = (Vec::new(), 0_usize);
        let element = Self {
            elements_max: 0,
            ..self
        };
        while length < self.elements_max {
            let Some(shape) = list.next_element_seed(element)? else {
                return Ok(Shape::List { elements, length });
            };
            elements.push(shape);
            length = length.saturating_add(1);
        }
        while list.next_element_seed(Skip)?.is_some() {
            length = length.saturating_add(1);
        }
        Ok(Shape::List { elements, length })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut members = Box::<Members>::default();
        let tree = Tree { left: self.left };
        while let Some(name) = map.next_key::<Member>()? {
            let place = match name {
                Member::Query => &mut members.query,
                Member::OperationName => &mut members.operation_name,
                Member::Variables => &mut members.variables,
                Member::Extensions => &mut members.extensions,
                Member::DocumentId => &mut members.document_id,
                Member::Other => {
                    map.next_value_seed(Skip)?;
                    continue;
                }
            };
            *place = Some(map.next_value_seed(tree)?);
        }
        members.exhausted = self.left.get() == 0;
        Ok(Shape::Object(members))
    }
}

/// Reads a value, while there may be more.
#[derive(Clone, Copy)]
struct Tree<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() > 0 {
            from.deserialize_any(self)
        } else {
            Skip.deserialize(from).map(|()| Value::Null)
        }
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            if self.left.get() > 0 {
                values.push(value);
            }
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if self.left.get() > 0 {
                values.insert(name, value);
            }
        }
        Ok(Value::Object(values))
    }
}

/// Passes over a value. serde's own way to ignore one knows no bound on depth.
#[derive(Clone, Copy)]
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    scalars_are!(());

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}
