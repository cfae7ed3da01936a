//! The files of an instance.

use std::borrow::Cow;

use secrecy::ExposeSecret as _;

use super::{Plan, Secrets};
use crate::graphql::sdl;

/// What is filled in.
pub(super) const PLACES: [&str; 6] = [
    "@NAME@",
    "@VERSION@",
    "@PORT@",
    "@PORT_2@",
    "@JWT_SECRET@",
    "@POSTGRES_PASSWORD@",
];

/// What everybody may read, what runs, and what is secret.
const READ: u32 = 0o644;
const RUN: u32 = 0o755;
const SECRET: u32 = 0o600;

/// What is in a file.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// A text with places to fill in.
    Template(&'static str),
    /// The schema of the API.
    Schema,
}

/// A file of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) mode: u32,
    content: Content,
}

macro_rules! file {
    ($path:literal, $mode:ident, $template:literal, $about:literal) => {
        File {
            path: $path,
            about: $about,
            mode: $mode,
            content: Content::Template(include_str!(concat!("templates/", $template))),
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const FILES: &[File] = &[
    file!("README.md", READ, "README.md", "what is here, and how to start it"),
    file!("compose.yaml", READ, "compose.yaml", "the database, the migrations, and two servers"),
    file!("Dockerfile", READ, "Dockerfile", "how the image is built from the source"),
    file!(".dockerignore", READ, "dockerignore", "keeps secrets out of the image"),
    file!(".env", SECRET, "env", "the secrets, made for this instance alone"),
    file!(".env.example", READ, "env.example", "the same without them, for other machines"),
    file!("colloquy.env", READ, "colloquy.env", "the settings of the servers"),
    file!(".gitignore", READ, "gitignore", "keeps secrets and what is generated out of version control"),
    file!("migrate.sh", RUN, "migrate.sh", "brings the tables of the database up to date"),
    file!("token.sh", RUN, "token.sh", "prints a token for a user"),
    file!("try.sh", RUN, "try.sh", "sends a message to one server, and hears it at the other"),
    file!("client/package.json", READ, "client/package.json", "the client's packages and scripts"),
    file!("client/tsconfig.json", READ, "client/tsconfig.json", "how the client is compiled"),
    file!("client/codegen.ts", READ, "client/codegen.ts", "how the types of documents are generated"),
    File { path: "client/schema.graphql", mode: READ, content: Content::Schema, about: "the schema of the API" },
    file!("client/src/operations.ts", READ, "client/src/operations.ts", "the client's documents"),
    file!("client/src/client.ts", READ, "client/src/client.ts", "requests and streams of events"),
    file!("client/src/main.ts", READ, "client/src/main.ts", "sends a message, and hears it"),
];

impl File {
    /// The text of the file.
    pub(super) fn render(&self, plan: &Plan, secrets: &Secrets) -> Cow<'static, str> {
        let template = match self.content {
            Content::Schema => return sdl().into(),
            Content::Template(template) => template,
        };
        let name = plan.name.to_string();
        let port = plan.port.to_string();
        let next = plan.port.saturating_add(1).to_string();
        let values = [
            name.as_str(),
            env!("CARGO_PKG_VERSION"),
            port.as_str(),
            next.as_str(),
            secrets.jwt.expose_secret(),
            secrets.postgres.expose_secret(),
        ];
        let mut text = template.to_owned();
        for (place, value) in PLACES.into_iter().zip(values) {
            text = text.replace(place, value);
        }
        text.into()
    }
}
