//! The program from outside: its files, its signals, its ports.

mod running;
mod support;
