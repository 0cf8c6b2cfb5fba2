//! eventlane
pub mod error;
pub mod source;
