//! The HTTP sink against real sockets, in real time.
#![cfg(feature = "http")]

mod answers;
mod auth;
mod bodies;
mod config;
mod connections;
mod dead_letter;
mod headers;
mod host;
mod pool;
mod replies;
#[cfg(feature = "reqwest")]
mod reqwest;
mod server;
mod support;
mod tls;
mod wire;
