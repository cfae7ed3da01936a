//! Clients of Socket.IO: the rights, the events and the bounds of the API, in their language.

mod bounds;
mod connecting;
mod events;
