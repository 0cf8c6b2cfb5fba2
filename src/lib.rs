//! eventlane

pub mod error;
pub mod event;
pub mod source;

pub use self::{
    error::{Error, ErrorKind, Result},
    event::Event,
};
