//! The program from outside: its files, its signals, its ports.

mod config;
mod running;
mod support;
