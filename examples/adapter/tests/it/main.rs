//! The program from outside: its files, its signals, its ports.

mod checking;
mod commands;
mod config;
mod conforms;
mod fakes;
mod image;
mod knative;
mod operating;
mod queues;
mod running;
mod support;
