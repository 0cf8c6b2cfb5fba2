//! What the pages look like, and what their scripts begin with.

/// The colours, cards, tables and buttons.
pub const STYLE: &str = include_str!("page.css");
/// Pictures that the page refers to by name: `like`, `comment`, `gift`.
pub const ICONS: &str = include_str!("icons.svg");
/// Short names for what every script does all the time.
pub const SCRIPT: &str = include_str!("page.js");

/// The page needs nothing but itself, and nobody needs to show it in a frame.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'";

/// A page of which `{{style}}`, `{{icons}}` and `{{script}}` are filled in.
pub fn complete(page: &str) -> String {
    page.replace("{{style}}", STYLE)
        .replace("{{icons}}", ICONS)
        .replace("{{script}}", SCRIPT)
}
