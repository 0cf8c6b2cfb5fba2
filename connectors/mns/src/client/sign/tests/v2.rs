//! Version 2.

use super::*;

/// A request of version 2, and what is signed of it.
struct V2 {
    id: &'static str,
    secret: &'static str,
    method: &'static str,
    target: &'static str,
    date: &'static str,
    headers: &'static [(&'static str, &'static str)],
    text: &'static str,
    signature: &'static str,
}

const VERSION: (&str, &str) = ("x-mns-version", "2015-06-06");
const JUNE: &str = "Tue, 03 Jun 2025 11:23:48 GMT";

const V2_VECTORS: [V2; 9] = [
    V2 {
        id: "D1",
        secret: "TestAccessSecret",
        method: "GET",
        target: "/MyQueue",
        date: "Thu, 09 Jul 2015 03:01:34 GMT",
        headers: &[VERSION],
        text: "GET\n\n\nThu, 09 Jul 2015 03:01:34 GMT\nx-mns-version:2015-06-06\n/MyQueue",
        signature: "uwx3yeWoILzgmvesW0BQSgfM7b8=",
    },
    V2 {
        id: "J1",
        secret: "sk1",
        method: "POST",
        target: "/queues/TestQueue",
        date: JUNE,
        headers: &[("x-kkk-def", "def"), ("x-mns-abcDEF", "abcDEF")],
        text: "POST\n\n\nTue, 03 Jun 2025 11:23:48 GMT\nx-mns-abcdef:abcDEF\n/queues/TestQueue",
        signature: "cAThPWnbphg3hDe3ZHDADTgkgyE=",
    },
    V2 {
        id: "J2",
        secret: "sk-kkkkkk1111111111",
        method: "GET",
        target: "/queues/TestQueue123456",
        date: "Wed, 03 Dec 2025 11:23:48 GMT",
        headers: &[("X-MNS-abcDEF", "KKKkkk")],
        text: "GET\n\n\nWed, 03 Dec 2025 11:23:48 GMT\nx-mns-abcdef:KKKkkk\n/queues/TestQueue123456",
        signature: "lPxnfNA+Qo/aj18MYJUnRMqa84I=",
    },
    V2 {
        id: "J3",
        secret: "testSk",
        method: "GET",
        target: "/queues/TestQueue",
        date: JUNE,
        headers: &[],
        text: "GET\n\n\nTue, 03 Jun 2025 11:23:48 GMT\n/queues/TestQueue",
        signature: "uDJQXbk2xOhH95MDXmgbAGdtyE4=",
    },
    V2 {
        id: "J4",
        secret: "testSk",
        method: "POST",
        target: "/queues/Test Queue@123",
        date: JUNE,
        headers: &[("Content-Type", "application/json")],
        text: "POST\n\napplication/json\nTue, 03 Jun 2025 11:23:48 GMT\n/queues/Test Queue@123",
        signature: "GZ/I9UgZsqvbzfzjd0GmA6VHOx4=",
    },
    V2 {
        id: "J5",
        secret: "accessKeySecret111",
        method: "PUT",
        target: "/queues/TestQueue",
        date: JUNE,
        headers: &[VERSION, ("Content-Type", "text/xml;charset=UTF-8")],
        text: J5,
        signature: "HCSlBi5KuXGNf06tZKFiQlNDt4c=",
    },
    V2 {
        id: "J6",
        secret: "skkkkkkk1111111111",
        method: "PUT",
        target: "/queues/TestQueue",
        date: JUNE,
        headers: &[("content-type", "text/xml;charset=UTF-8"), VERSION],
        text: J5,
        signature: "KvUgeFIzq+V37Fw7Nb8BKQEncZU=",
    },
    V2 {
        id: "R1",
        secret: "t5I8e",
        method: "GET",
        target: "/queues/market-process-log/messages?waitseconds=30",
        date: "Wed, 08 Feb 2023 09:36:03 GMT",
        headers: &[
            (
                "Content-MD5",
                "ZDQxZDhjZDk4ZjAwYjIwNGU5ODAwOTk4ZWNmODQyN2U=",
            ),
            ("Content-Type", "application/xml"),
            VERSION,
        ],
        text: "GET\nZDQxZDhjZDk4ZjAwYjIwNGU5ODAwOTk4ZWNmODQyN2U=\napplication/xml\nWed, 08 Feb 2023 09:36:03 GMT\nx-mns-version:2015-06-06\n/queues/market-process-log/messages?waitseconds=30",
        signature: "zVO3Buq0YfEW1yLI0SXOaO6guq8=",
    },
    V2 {
        id: "R2",
        secret: "t5I8e",
        method: "POST",
        target: "/queues/market-process-log/messages",
        date: "Thu, 02 Feb 2023 12:27:22 GMT",
        headers: &[
            (
                "content-md5",
                "YTM5OGY1YmYxODRkY2M0YmM1NjU5OGYzYTJkMDMyZGQ=",
            ),
            ("content-type", "application/xml"),
            VERSION,
        ],
        text: "POST\nYTM5OGY1YmYxODRkY2M0YmM1NjU5OGYzYTJkMDMyZGQ=\napplication/xml\nThu, 02 Feb 2023 12:27:22 GMT\nx-mns-version:2015-06-06\n/queues/market-process-log/messages",
        signature: "6nhdhorU7xdV6x+P1Tmzyi6A6KY=",
    },
];

#[test]
fn v2_vectors() {
    for vector in V2_VECTORS {
        let request = ToSign {
            method: vector.method,
            target: vector.target,
            path: vector.target,
            params: &[],
            headers: vector.headers,
            date: vector.date,
        };
        assert_eq!(v2_text(&request), vector.text, "{}", vector.id);
        assert_eq!(
            v2(&request, "ak", vector.secret),
            format!("MNS ak:{}", vector.signature),
            "{}",
            vector.id
        );
    }
}

#[test]
fn v2_of_a_text_alone() {
    assert_eq!(
        base64(&hmac_sha1("accessKeySecret111", J7)),
        "ZX9CiXzbkdkW2bW1Lw3G3JvnD90="
    );
}
