//! What a queue's URL says.
//!
//! It is a name rather than an address: requests go to the endpoint, with the URL in their body. Of
//! a queue of AWS it names the region, too.

use eventlane::Result;

use super::invalid;

/// A queue's URL, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    host: &'a str,
    /// The queue's name.
    pub(crate) name: &'a str,
}

impl<'a> Address<'a> {
    /// Takes a URL apart. The name is what follows the last `/`; what is before it, an account say,
    /// is of no interest.
    ///
    /// # Errors
    /// `Config`, if it is none, is an ARN, has no name at its end, or has a query, a fragment or
    /// blanks.
    pub(crate) fn parse(url: &'a str) -> Result<Self> {
        const WANTED: &str = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME";
        if url.is_empty() {
            return Err(invalid(format!(
                "no queue is given (queue_url); it looks like {WANTED}"
            )));
        }
        let parts = split(url).and_then(|(host, path)| Some((host, path.rsplit_once('/')?.1)));
        match parts {
            Some((host, name)) if !name.is_empty() && !url.contains(['?', '#']) => {
                Ok(Self { host, name })
            }
            _ if url.starts_with("arn:") => Err(invalid(format!(
                "queue_url is an ARN; give the URL, which looks like {WANTED}"
            ))),
            _ => Err(
                invalid(format!("queue_url is not a queue's URL, such as {WANTED}"))
                    .with_context("queue_url", url),
            ),
        }
    }

    /// Checks the URL of an endpoint.
    /// Any host, port and path will do; user, query and fragment will not.
    pub(crate) fn endpoint(url: &str) -> Result<()> {
        match split(url) {
            Some(_) if !url.contains(['?', '#', '@']) => Ok(()),
            // Not shown: there may be a password in it.
            _ => Err(invalid(
                "endpoint is not a URL such as http://localhost:9324",
            )),
        }
    }

    /// The region, if this is a host of AWS: `sqs.REGION.amazonaws.com`, also in China, with FIPS,
    /// dual-stack, or of a VPC endpoint. A host with such a name elsewhere is taken for one.
    pub(crate) fn region(&self) -> Option<&'a str> {
        let labels: Vec<&str> = self.host.split('.').collect();
        let aws = |label: Option<&&str>| matches!(label, Some(&"amazonaws" | &"api" | &"vpce"));
        labels
            .windows(2)
            .enumerate()
            .find_map(|(at, pair)| match pair {
                // sqs.REGION.amazonaws.com, sqs.REGION.api.aws,
                // vpce-….sqs.REGION.vpce.amazonaws.com
                ["sqs" | "sqs-fips", region] if aws(labels.get(at + 2)) => Some(*region),
                // The older form, REGION.queue.amazonaws.com.
                [region, "queue"] if aws(labels.get(at + 2)) => Some(*region),
                _ => None,
            })
    }

    /// Whether the name is one of a FIFO queue.
    /// AWS asks for that ending, and allows it for no other queue.
    pub(crate) fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

/// Host (without port) and path; `None` if it is no URL over HTTP, or has blanks.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let legal = url.bytes().all(|b| b.is_ascii_graphic());
    (legal && !host.is_empty()).then_some((host, path))
}
