//! Version 4.

use httpdate::parse_http_date;

use super::*;

type Pairs = &'static [(&'static str, &'static str)];

const P: Pairs = &[
    ("param1", "abc"),
    ("PARAM2", "d  ef"),
    ("PARAM3", "[def]#bbb"),
    ("PARAM4", "中文参数"),
];
const H2: Pairs = &[
    ("x-kkk-def", "x"),
    ("x-mns-abc", "kkk"),
    ("X-MNS-Sss", "2015-06-06xFFF"),
];
const H3: Pairs = &[
    ("x-mns-version", "2015-06-30"),
    ("x-mns-ttt", "1"),
    ("X-MNS-UUUuu", "FALse"),
    ("bb-MNS-UUUuu", "FALse"),
    ("Content-Type", "application/json"),
    ("Content-MD5", "0d9d2ce750000593eb34f00"),
];
const E: Pairs = &[("num", "10"), ("paramx", "100")];
const DECEMBER_3: &str = "Wed, 03 Dec 2025 11:23:48 GMT";
const DECEMBER_4: &str = "Thu, 04 Dec 2025 06:32:35 GMT";
const JUNE_3: &str = "Tue, 03 Jun 2025 10:52:35 GMT";

type Key = (&'static str, &'static str, &'static str);

const TEST: Key = ("testAk", "testSk", "testRegion");
const ONE: Key = ("ak1", "sk1", "region1");
const TWO: Key = ("akkkkk1111111111", "skkkkkkk1111111111", "region2");
const WEST: Key = ("akkkkk222222222", "skkkkkk2222222222", "eu-west-1");

struct V4 {
    id: &'static str,
    dialect: Dialect,
    key: Key,
    request: (&'static str, &'static str),
    time: &'static str,
    headers: Pairs,
    params: &'static [Pairs],
    signature: &'static str,
}

const V4_VECTORS: [V4; 9] = [
    V4 {
        id: "V4-a",
        dialect: PUBLIC,
        key: TEST,
        request: ("GET", "/"),
        time: JUNE_3,
        headers: &[],
        params: &[],
        signature: "63f78964dcd1132bab91b9c38ceebdfb59509149b34874c5b2c9dfc2b12e7291",
    },
    V4 {
        id: "V4-b",
        dialect: PUBLIC,
        key: WEST,
        request: ("GET", "/queues"),
        time: DECEMBER_4,
        headers: H3,
        params: &[],
        signature: "294f776a2d5726df679b54b081ab8126a199a2545c8c8a7a875adff0b386e458",
    },
    V4 {
        id: "V4-c",
        dialect: PUBLIC,
        key: ONE,
        request: ("POST", "/queues/TestQueue/"),
        time: JUNE_3,
        headers: &[],
        params: &[P],
        signature: "1fc6013f158d4c3aba09570895a2a93c8445c2c5213d82a1463baf602cf0d945",
    },
    V4 {
        id: "V4-d",
        dialect: PUBLIC,
        key: TWO,
        request: ("PUT", "queues/TestQueue123456"),
        time: DECEMBER_3,
        headers: H2,
        params: &[],
        signature: "04f1e5f929b5aaac3af6a54970f591581ecd2aade2562f926c5f2ec5d5c8cfad",
    },
    V4 {
        id: "V4-e",
        dialect: PUBLIC,
        key: ONE,
        request: ("POST", "/queues/TestQueue"),
        time: JUNE_3,
        headers: &[],
        params: &[E, P],
        signature: "8d555514e749185d3e6d68df416692e6cc960ba85a089c9d69a2f4d7bb607560",
    },
    V4 {
        id: "V4-f",
        dialect: PUBLIC,
        key: TEST,
        request: ("POST", "/queues/Test Queue@123"),
        time: JUNE_3,
        headers: &[],
        params: &[],
        signature: "87de7499365a31e767cdc0c726a893c72c860e415876f7f92914197ac3795833",
    },
    V4 {
        id: "APSARA-a",
        dialect: APSARA,
        key: ONE,
        request: ("POST", "/queues/TestQueue"),
        time: JUNE_3,
        headers: &[],
        params: &[P],
        signature: "51269315dedfd0f0252cbca05356c85f5005077796a1e8463c54d6716f331389",
    },
    V4 {
        id: "APSARA-b",
        dialect: APSARA,
        key: TWO,
        request: ("PUT", "/queues/TestQueue123456"),
        time: DECEMBER_3,
        headers: H2,
        params: &[],
        signature: "5bddaa9d4931254d477cc601836e6c2477bb793c499ac3d17a9493cf98786c51",
    },
    V4 {
        id: "APSARA-c",
        dialect: APSARA,
        key: WEST,
        request: ("GET", "/queues"),
        time: DECEMBER_4,
        headers: H3,
        params: &[],
        signature: "b0f49b3575379975f04f728ba9f6771dfd451c226d16924d42938953396c9e8f",
    },
];

#[test]
fn v4_vectors() {
    for vector in V4_VECTORS {
        let params: Vec<_> = vector
            .params
            .iter()
            .flat_map(|params| params.iter())
            .map(|(key, value)| (Cow::Borrowed(*key), Cow::Borrowed(*value)))
            .collect();
        let (method, path) = vector.request;
        let request = ToSign {
            method,
            target: path,
            path,
            params: &params,
            headers: vector.headers,
            date: vector.time,
        };
        let time = parse_http_date(vector.time).unwrap();
        let (id, secret, region) = vector.key;
        let header = v4(&request, time, region, vector.dialect, id, secret);
        let signature = header.rsplit_once("Signature=").unwrap().1;
        assert_eq!(signature, vector.signature, "{}", vector.id);
    }
}

#[test]
fn v4_header() {
    let request = ToSign {
        method: "GET",
        target: "/",
        path: "/",
        params: &[],
        headers: &[],
        date: JUNE_3,
    };
    let time = parse_http_date(JUNE_3).unwrap();
    let (id, secret, region) = TEST;
    let header = v4(&request, time, region, PUBLIC, id, secret);
    assert!(
        header.starts_with(
            "MNS4-HMAC-SHA256 Credential=testAk/20250603/testRegion/mns/aliyun_v4_request,Signature=63f7"
        ),
        "{header}"
    );
    let header = v4(&request, time, region, APSARA, id, secret);
    assert!(
        header.starts_with(
            "APSARA-MNS4-HMAC-SHA256 Credential=testAk/20250603/testRegion/mns/apsara_v4_request,"
        ),
        "{header}"
    );
}

#[test]
fn v4_last_step_alone() {
    const ONE: &str = "biPl5icbr+5R2EFnPBDy0XkgiSRZqIQlBNi3PNhsfpg=";
    const TWO: &str = "2HhAzNXcwZJs3dhqkYg7yqkUjS3so+UdhbUR+eKEgtQ=";
    let list = "GET\n\ntext/xml;charset=UTF-8\nWed, 04 Jun 2025 06:33:37 GMT\nx-mns-ret-number:1\nx-mns-version:2015-06-06\nx-mns-with-meta:false\n/queues";
    let create = "MNS4-HMAC-SHA256\n20251124T091359Z\n20251124/eu-west-1/mns/aliyun_v4_request\nPUT\n/queues/queue-auto-25112417-l0PHHVTHYv\n\ncontent-type:text/xml;charset=UTF-8\nx-mns-version:2015-06-06\n\n";
    for (key, text, signature) in [
        (
            ONE,
            J5,
            "b5e06cd0cba5fbab4fff9e33bb654dbae64bdb90421d965dcf3c46889fd8ad60",
        ),
        (
            ONE,
            list,
            "da2ee97bef2e4e7a0a3c6e98b501963b2502b67218ea712de4e8d3c7e047a83f",
        ),
        (
            TWO,
            create,
            "63ebcf43397e672c47d48ca5d9ef7245e59626da7a3d58d37c75cde993429e98",
        ),
    ] {
        let key = BASE64_STANDARD.decode(key).unwrap();
        assert_eq!(hex(&hmac_sha256(&key, text)), signature);
    }
}

#[test]
fn sha256_of_a_text_alone() {
    for (key, text, signature) in [
        (
            "accessKeySecret111",
            J7,
            "L8DbTo8IRKuE+n9SPCWt0bzQ6Ahy9MQOzBaAsOoT4go=",
        ),
        (
            "accessKeySecret111",
            J5,
            "gG99bIzy+U231f6kE51jYqwJWTtcvHQ2ajThiyjMD3s=",
        ),
        (
            "skkkkkkk1111111111",
            J5,
            "1KD0l2/8M/42vXZfTf4LUY1gW3cxCCubw9zktiHx8GE=",
        ),
    ] {
        assert_eq!(base64(&hmac_sha256(key.as_bytes(), text)), signature);
    }
}

#[test]
fn v4_says_the_same_whatever_the_spelling() {
    let params = [
        (Cow::Borrowed(" B "), Cow::Borrowed("x*y~z")),
        (Cow::Borrowed("a"), Cow::Borrowed("")),
    ];
    let request = ToSign {
        method: "GET",
        target: "/ä?B=x*y~z&a=",
        path: "/ä/b",
        params: &params,
        headers: &[("X-MNS-A", " 1 "), ("Date", JUNE_3)],
        date: JUNE_3,
    };
    assert_eq!(
        v4_text(&request),
        "GET\n/%C3%A4/b\na&b=x%2Ay~z\nx-mns-a:1\n\n"
    );
}
