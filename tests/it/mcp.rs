//! Agents: the tools of the Model Context Protocol, as a client of it calls them.

mod agent;
mod http;
mod rights;
mod stdio;
mod tools;
