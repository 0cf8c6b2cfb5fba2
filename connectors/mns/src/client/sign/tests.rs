//! The vectors that the documentation and the SDKs publish.

use super::*;

mod v2;
mod v4;

const J5: &str = "PUT\n\ntext/xml;charset=UTF-8\nTue, 03 Jun 2025 11:23:48 GMT\nx-mns-version:2015-06-06\n/queues/TestQueue";
const J7: &str = "contentToSign111 Hello world";

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
