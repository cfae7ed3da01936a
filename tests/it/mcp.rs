//! Agents: the tools of the Model Context Protocol, as a client of it calls them.

pub(crate) mod agent;
mod http;
mod rights;
mod scaffold;
mod stdio;
mod tools;
