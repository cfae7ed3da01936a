//! The settings of `colloquy mcp`.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::LogArgs;
use crate::mcp::{Endpoint, Token};

/// The variable with the token. There is no flag for it: everybody on the machine can read the arguments of a process.
const TOKEN: &str = "COLLOQUY_TOKEN";

/// Whom to serve, and where.
#[derive(Debug, Clone, Args)]
pub struct McpArgs {
    /// The address of the server's GraphQL: https, or http to this machine.
    #[arg(
        long,
        env = "COLLOQUY_URL",
        default_value = "http://127.0.0.1:8080/graphql",
        value_name = "URL"
    )]
    pub url: Endpoint,
    /// The file with the token of the user in whose name the agent acts. It is read for each request, so that the token
    /// can be renewed. Without it, the token is that of the variable `COLLOQUY_TOKEN`.
    #[arg(long, env = "COLLOQUY_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How the log looks, which goes to standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

impl McpArgs {
    /// The token of the user in whose name the agent acts, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        if let Some(path) = &self.token_file {
            return Some(Token::InFile(path.clone()));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "this is config, and a secret is no argument"
        )]
        let given = std::env::var(TOKEN);
        let given = given.ok().filter(|token| !token.trim().is_empty())?;
        Some(Token::Given(SecretString::from(given.trim())))
    }
}
