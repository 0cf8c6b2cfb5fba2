//! The livestream as its users see it: its terminal, its report, its page.

mod browser;
mod program;
