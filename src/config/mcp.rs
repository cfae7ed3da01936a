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

/// Why an agent cannot be served.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum McpArgsError {
    /// There is no token.
    #[error(
        "an agent acts as the user of a token: set {TOKEN}, or name a file with it (--token-file)"
    )]
    NoToken,
}

impl McpArgs {
    /// The token of the user in whose name the agent acts.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn token(&self) -> Result<Token, McpArgsError> {
        if let Some(path) = &self.token_file {
            return Ok(Token::InFile(path.clone()));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "this is config, and a secret is no argument"
        )]
        let given = std::env::var(TOKEN);
        let given = given.ok().filter(|token| !token.trim().is_empty());
        let given = given.ok_or(McpArgsError::NoToken)?;
        Ok(Token::Given(SecretString::from(given.trim())))
    }
}
