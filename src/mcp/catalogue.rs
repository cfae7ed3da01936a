//! The tools as clients see them.

use std::sync::{Arc, LazyLock};

use rmcp::model::{JsonObject, Tool as Listed, ToolAnnotations};
use serde_json::{Value, json};

use super::shape::{Json, Types, Wrong};
use super::tools::{EVENT_CURSOR, Effect, Run, TOOLS, Tool};
use super::wait;
use crate::graphql::sdl;

/// Why a tool cannot be offered.
#[derive(Debug, thiserror::Error)]
#[error("the tool {tool} does not fit the schema of the API: {why}")]
pub struct CatalogueError {
    tool: &'static str,
    why: Wrong,
}

/// A tool that is offered.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) tool: Tool,
    /// The name of its root field in an answer.
    pub(super) root: String,
    /// How it is listed.
    pub(super) listed: Listed,
}

/// All tools.
#[derive(Debug)]
pub struct Catalogue(Vec<Offered>);

/// The tools, which are made of the schema once.
///
/// # Errors
///
/// Where one does not fit the schema, which a test rules out.
pub fn catalogue() -> Result<&'static Catalogue, &'static CatalogueError> {
    static MADE: LazyLock<Result<Catalogue, CatalogueError>> =
        LazyLock::new(|| Catalogue::of(&sdl()));
    MADE.as_ref()
}

impl Catalogue {
    fn of(sdl: &str) -> Result<Self, CatalogueError> {
        let schema = |why| CatalogueError {
            tool: "wait_for_messages",
            why,
        };
        let types = Types::read(sdl).map_err(schema)?;
        types.shape(EVENT_CURSOR).map_err(schema)?;
        let offered = TOOLS.iter().map(|tool| {
            offer(*tool, &types).map_err(|why| CatalogueError {
                tool: tool.name,
                why,
            })
        });
        offered.collect::<Result<_, _>>().map(Self)
    }

    /// The tool of a name.
    pub(super) fn find(&self, name: &str) -> Option<&Offered> {
        self.0.iter().find(|offered| offered.tool.name == name)
    }

    /// How the tools are listed.
    pub(super) fn listed(&self) -> impl Iterator<Item = Listed> {
        self.0.iter().map(|offered| offered.listed.clone())
    }
}

fn offer(tool: Tool, types: &Types) -> Result<Offered, Wrong> {
    let shape = types.shape(tool.document)?;
    let (input, output) = match tool.run {
        Run::Once => (shape.input, answered(shape.output)),
        Run::Waiting => (wait::input(shape.input), wait::output(&shape.output)),
    };
    let listed = Listed::new(tool.name, tool.description, object(input))
        .with_title(tool.title)
        .with_raw_output_schema(object(output))
        .with_annotations(annotations(tool));
    Ok(Offered {
        tool,
        root: shape.root,
        listed,
    })
}

fn object(schema: Json) -> Arc<JsonObject> {
    Arc::new(schema)
}

fn annotations(tool: Tool) -> ToolAnnotations {
    let hints = ToolAnnotations::with_title(tool.title);
    let (reads, removes, repeatable) = match tool.effect {
        Effect::Reads => (true, false, true),
        Effect::Adds => (false, false, false),
        Effect::Sets => (false, false, true),
        Effect::Removes => (false, true, true),
    };
    hints
        .read_only(reads)
        .destructive(removes)
        .idempotent(repeatable)
}

/// What a tool answers: what its document selects, less what it fails with, and what is missing.
fn answered(mut output: Json) -> Json {
    // Told in few words: an agent reads the schemas of all tools.
    let missing = json!({
        "type": "array",
        "items": { "type": "object" },
        "description": "Failures to read some of the answer. What was asked for is done.",
    });
    if let Some(Value::Object(members)) = output.get_mut("properties") {
        members.remove("userErrors");
        members.insert("missing".to_owned(), missing);
    }
    if let Some(Value::Array(required)) = output.get_mut("required") {
        required.retain(|name| name != "userErrors");
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Value {
        let offered = catalogue().unwrap().find(name).unwrap();
        serde_json::to_value(&offered.listed).unwrap()
    }

    #[test]
    fn every_tool_fits_the_schema_and_is_named_once() {
        let all: Vec<_> = catalogue().unwrap().listed().collect();
        assert_eq!(all.len(), TOOLS.len());
        for (place, tool) in all.iter().enumerate() {
            let twin = all.iter().position(|other| other.name == tool.name);
            assert_eq!(twin, Some(place), "{}", tool.name);
            assert!(
                tool.description
                    .as_ref()
                    .is_some_and(|text| text.ends_with('.'))
            );
        }
        // What is read off the schema notices what is not in it.
        let types = Types::read(&sdl()).unwrap();
        for wrong in [
            "query { chat(id: 1) { nothing } }",
            "query { nothing }",
            "query ($a: ID!) { viewer { id } }",
            "query ($a: ID!) { chat(name: $a) { id } }",
            "query { viewer { id } chats { nodes { id } } }",
            "{",
        ] {
            assert!(types.shape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_are_the_variables_with_the_words_of_the_schema() {
        let tool = listed("send_message");
        let input = &tool["inputSchema"];
        assert_eq!(input["required"], json!(["chatId", "body"]));
        assert_eq!(input["additionalProperties"], json!(false));
        let key = &input["properties"]["idempotencyKey"];
        assert_eq!(key["type"], "string");
        assert!(key["description"].as_str().unwrap().len() > 20, "{key}");
        let tool = listed("add_participants");
        let role = &tool["inputSchema"]["properties"]["role"];
        assert_eq!(role["enum"], json!(["ADMIN", "MEMBER", "OWNER"]));
        assert_eq!(role["default"], "MEMBER");
        let tool = listed("read_messages");
        assert_eq!(tool["inputSchema"]["properties"]["last"]["default"], 20);
    }

    #[test]
    fn results_are_what_is_selected() {
        let tool = listed("send_message");
        let output = &tool["outputSchema"];
        assert_eq!(output["type"], "object");
        assert_eq!(output["required"], json!(["message"]));
        assert_eq!(output["properties"]["userErrors"], Value::Null);
        let message = &output["properties"]["message"];
        assert_eq!(message["type"], json!(["object", "null"]));
        assert_eq!(
            message["properties"]["body"]["type"],
            json!(["string", "null"])
        );
        assert_eq!(message["properties"]["viewerHasStarred"]["type"], "boolean");
        let tool = listed("get_message");
        let required = tool["outputSchema"]["required"].as_array().unwrap();
        assert!(required.contains(&json!("id")), "{required:?}");
        let tool = listed("wait_for_messages");
        let event = &tool["outputSchema"]["properties"]["events"]["items"];
        let required = json!(["type", "cursor", "occurredAt", "actor"]);
        assert_eq!(event["required"], required);
        assert_eq!(event["properties"]["message"]["type"], "object");
    }

    #[test]
    fn hints_say_what_is_read_only_and_what_may_be_repeated() {
        let hint = |name: &str, hint: &str| listed(name)["annotations"][hint].clone();
        assert_eq!(hint("read_messages", "readOnlyHint"), true);
        assert_eq!(hint("send_message", "readOnlyHint"), false);
        assert_eq!(hint("send_message", "idempotentHint"), false);
        assert_eq!(hint("send_message", "destructiveHint"), false);
        assert_eq!(hint("delete_message", "destructiveHint"), true);
        assert_eq!(hint("star_message", "idempotentHint"), true);
    }
}
