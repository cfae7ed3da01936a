//! The Model Context Protocol: what an agent may do, as tools.
//!
//! A tool is a document of GraphQL with a name and a description. Its arguments are the document's variables, its result
//! is what the document selects, and the schemas of both are read off the API's own schema ([`shape`]). So an agent may do
//! what the user of its token may, by the API's own checks, and there is no second set of rules to keep in step.
//!
//! An [`Executor`] runs the documents: in the server over HTTP (`http::mcp`), or against a server elsewhere ([`Remote`]).

mod catalogue;
mod executor;
mod remote;
mod scaffold;
mod server;
mod shape;
mod stdio;
mod tools;
mod wait;

pub use catalogue::{Catalogue, CatalogueError, catalogue};
pub use executor::{Executor, Failure, Request};
pub use remote::{Endpoint, EndpointError, Remote, Token, TokenFileError};
pub use server::Server;
pub use stdio::{StdioError, serve_stdio};
