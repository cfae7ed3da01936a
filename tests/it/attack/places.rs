//! Every place of the schema at which an id, a cursor or another text is handed in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::Server;

const QUERY: &str = "{ __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types { kind name
        fields(includeDeprecated: true) { name args { ...Taken } }
        inputFields { ...Taken }
    } } }
    fragment Taken on __InputValue { name type { kind name ofType { kind name ofType { kind name ofType { kind name } } } } }";

/// The schema, as far as it takes something.
#[derive(Debug)]
pub(super) struct Places {
    /// `Query.chat`, for each field of a root.
    pub(super) fields: Vec<String>,
    /// `Query.chat.id`, and the type: `ID` or `String`.
    pub(super) leaves: Vec<(String, String)>,
}

impl Places {
    /// Reads them from a server.
    pub(super) async fn of(server: &Server) -> Self {
        let schema = server.anonymous().ask(QUERY, json!({})).await["__schema"].clone();
        let roots = ["queryType", "mutationType", "subscriptionType"];
        let roots = roots.map(|root| text(&schema[root]["name"]));
        let types = list(&schema["types"]);
        let inputs: BTreeMap<String, &Vec<Value>> = types
            .iter()
            .filter(|of| of["kind"] == "INPUT_OBJECT")
            .map(|of| (text(&of["name"]), list(&of["inputFields"])))
            .collect();
        let (mut fields, mut leaves) = (Vec::new(), Vec::new());
        for of in types {
            let name = text(&of["name"]);
            let Some(own) = of["fields"].as_array().filter(|_| !name.starts_with("__")) else {
                continue;
            };
            for field in own {
                let path = format!("{name}.{}", text(&field["name"]));
                if roots.contains(&name) {
                    fields.push(path.clone());
                }
                descend(&path, list(&field["args"]), &inputs, &mut leaves);
            }
        }
        Self { fields, leaves }
    }
}

/// The leaves below arguments or fields of an input.
fn descend(
    path: &str,
    taken: &[Value],
    inputs: &BTreeMap<String, &Vec<Value>>,
    leaves: &mut Vec<(String, String)>,
) {
    assert!(path.len() < 500, "inputs contain themselves: {path}");
    for one in taken {
        let path = format!("{path}.{}", text(&one["name"]));
        let mut of = &one["type"];
        while !of["ofType"].is_null() {
            of = &of["ofType"];
        }
        let name = text(&of["name"]);
        match inputs.get(&name) {
            Some(fields) => descend(&path, fields, inputs, leaves),
            None if ["ID", "String"].contains(&name.as_str()) => leaves.push((path, name)),
            None => {}
        }
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
