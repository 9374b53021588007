//! The protocol of the wire: routes, limits, keys, connections.

pub(crate) mod app;
mod auth;
mod body;
mod connections;
mod dashboard;
mod generate;
pub(crate) mod inflight;
mod info;
mod openapi;
pub(crate) mod record;
mod reply;
mod request_id;
mod router;
pub(crate) mod server;
mod text;
