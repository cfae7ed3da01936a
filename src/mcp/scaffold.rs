//! The tool that writes an instance: for an agent on the same machine alone, which could write the files itself.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rmcp::model::{Tool as Listed, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::executor::Failure;
use super::shape::object;
use crate::graphql::code;
use crate::scaffold::{self, PORT, PORT_MAX, Plan, ScaffoldError};

/// The tool's name.
pub(super) const NAME: &str = "scaffold_project";

const DESCRIPTION: &str = "Writes a deployable instance of Colloquy into a folder of this machine: a compose file with \
    Postgres and two servers, settings, new secrets, migrations, and a client in TypeScript with generated types. The folder \
    has to be empty or not there; nothing is written over, and a failure leaves nothing. Answers what was written, and how \
    to start it. The secrets are in the file .env, and are not answered.";

/// How the tool is listed.
pub(super) fn listed() -> Listed {
    static LISTED: LazyLock<Listed> = LazyLock::new(|| {
        let input = json!({
            "type": "object",
            "properties": {
                "folder": { "type": "string", "description": "The absolute path of the folder." },
                "name": {
                    "type": "string",
                    "default": "colloquy",
                    "description": "The name of the instance: 1 to 40 lower-case letters, digits, hyphens and underscores.",
                },
                "port": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": PORT_MAX,
                    "default": PORT,
                    "description": "The port of the first server on this machine. The second has the next one.",
                },
            },
            "required": ["folder"],
            "additionalProperties": false,
        });
        let output = json!({
            "type": "object",
            "properties": {
                "folder": { "type": "string" },
                "files": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": { "path": { "type": "string" }, "about": { "type": "string" } },
                        "required": ["path", "about"],
                    },
                },
                "next": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["folder", "files", "next"],
        });
        let title = "Write an instance";
        let hints = ToolAnnotations::with_title(title)
            .read_only(false)
            .destructive(false)
            .idempotent(false)
            .open_world(false);
        Listed::new(NAME, DESCRIPTION, Arc::new(object(input)))
            .with_title(title)
            .with_raw_output_schema(Arc::new(object(output)))
            .with_annotations(hints)
    });
    LISTED.clone()
}

/// Writes an instance.
pub(super) fn run(arguments: &Map<String, Value>) -> Result<Map<String, Value>, Vec<Failure>> {
    let (folder, plan) = read(arguments).map_err(|failure| vec![failure])?;
    let written = scaffold::write(Path::new(folder), &plan);
    let files = written.map_err(|error| vec![failure(&error)])?;
    let files = files
        .iter()
        .map(|file| json!({ "path": file.path, "about": file.about }));
    Ok(object(json!({
        "folder": folder,
        "files": files.collect::<Vec<_>>(),
        "next": scaffold::NEXT,
    })))
}

fn read(arguments: &Map<String, Value>) -> Result<(&str, Plan), Failure> {
    let mut plan = Plan::default();
    let folder = arguments.get("folder").and_then(Value::as_str);
    let folder = folder.filter(|folder| Path::new(folder).is_absolute());
    let why = "The folder is an absolute path.";
    let folder = folder.ok_or_else(|| Failure::of_argument("folder", why))?;
    match arguments.get("name") {
        None | Some(Value::Null) => {}
        Some(name) => {
            let name = name.as_str().unwrap_or_default().parse();
            let why = |error| Failure::of_argument("name", format!("{error}."));
            plan.name = name.map_err(|error: scaffold::NameError| why(error))?;
        }
    }
    match arguments.get("port") {
        None | Some(Value::Null) => {}
        Some(port) => {
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            let why = || Failure::of_argument("port", format!("{}.", ScaffoldError::Port));
            plan.port = port.ok_or_else(why)?;
        }
    }
    Ok((folder, plan))
}

fn failure(error: &ScaffoldError) -> Failure {
    let (code, field) = match error {
        ScaffoldError::NotEmpty(_) | ScaffoldError::NotAFolder(_) => ("CONFLICT", "folder"),
        ScaffoldError::NoParent(_) => (code::NOT_FOUND, "folder"),
        ScaffoldError::Port => (code::BAD_USER_INPUT, "port"),
        ScaffoldError::Write(_, error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            (code::FORBIDDEN, "folder")
        }
        ScaffoldError::Random(_) | ScaffoldError::Write(..) => {
            (code::INTERNAL_SERVER_ERROR, "folder")
        }
    };
    Failure {
        field: Some(vec![field.to_owned()]),
        ..Failure::new(code, format!("{error}."))
    }
}
