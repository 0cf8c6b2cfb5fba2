//! CloudEvents 1.0.2: the event, and its formats and bindings.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use smol_str::SmolStr;

/// A CloudEvent. Cloning is cheap: the content is shared until changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Arc<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    id: SmolStr,
    source: SmolStr,
    ty: SmolStr,
    subject: Option<SmolStr>,
    time: Option<Timestamp>,
    datacontenttype: Option<SmolStr>,
    dataschema: Option<SmolStr>,
    extensions: SmallVec<[(SmolStr, Value); 4]>,
    data: Option<Data>,
}
