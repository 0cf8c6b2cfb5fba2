//! The program, on a real SQS-compatible server and a checking endpoint.

mod adapter;
mod bad_input;
mod endings;
