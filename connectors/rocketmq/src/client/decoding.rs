//! Whatever a server sends is decoded, or is an error; and what is made of it is, too.

use eventlane_testkit::growth::assert_linear;
use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::{
    Address as Dialled, ReceivedMessage, ServerSettings,
    pb::{
        AckMessageResponse, ChangeInvisibleResponse, Message, QueryRouteResponse,
        ReceiveMessageResponse, SendMessageResponse, Settings, StatusResponse, SystemProperties,
        TelemetryCommand,
    },
    route::Route,
};

/// A field as it is encoded: its number, its kind, and something that may or may not be of it.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let nested = vec(any::<u8>(), 0..24);
    let leaf =
        (1..20_u8, 0..6_u8, nested).prop_map(|(number, kind, bytes)| encode(number, kind, &bytes));
    leaf.prop_recursive(4, 24, 4, |inner| {
        (1..20_u8, vec(inner, 0..4))
            .prop_map(|(number, fields)| encode(number, 2, &fields.concat()))
    })
}

fn encode(number: u8, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number) << 3 | u64::from(kind), &mut out);
    if kind == 2 {
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    }
    out.extend_from_slice(bytes);
    out
}

fn dialled() -> Dialled {
    Dialled::parse("a:1").unwrap()
}

/// Everything that a server can send.
fn read(bytes: &[u8]) -> Option<ReceivedMessage> {
    let broker = "broker".into();
    if let Ok(answer) = QueryRouteResponse::decode(bytes) {
        Route::read(answer.message_queues);
    }
    if let Ok(settings) = Settings::decode(bytes) {
        let read = ServerSettings::read(&settings);
        assert!(read.batch != Some(0) && read.backoff.len() <= bytes.len() + 32);
    }
    drop(TelemetryCommand::decode(bytes));
    drop(ReceiveMessageResponse::decode(bytes));
    drop(AckMessageResponse::decode(bytes));
    drop(ChangeInvisibleResponse::decode(bytes));
    drop(SendMessageResponse::decode(bytes));
    drop(StatusResponse::decode(bytes));
    ReceivedMessage::read(Message::decode(bytes).ok()?, &broker, &dialled())
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_an_error(
        noise in vec(any::<u8>(), 0..60),
        fields in vec(field(), 0..6),
        properties in vec(field(), 0..6),
    ) {
        read(&noise);
        read(&fields.concat());
        // One that has a name, and else whatever there is.
        let name = SystemProperties {
            message_id: "id".to_owned(),
            receipt_handle: Some("receipt".to_owned()),
            ..Default::default()
        };
        let system = [properties.concat(), name.encode_to_vec()].concat();
        let message = [encode(3, 2, &system), fields.concat()].concat();
        if let Some(message) = read(&message) {
            prop_assert!(!message.id.is_empty() && message.attempt > 0);
        }
        // A field that breaks off somewhere.
        let whole = fields.concat();
        read(&whole[..whole.len() / 2]);
    }
}

#[test]
fn time_grows_with_the_message_and_no_faster() {
    let property = |name: &str| {
        encode(
            2,
            2,
            &[encode(1, 2, name.as_bytes()), encode(2, 2, b"v")].concat(),
        )
    };
    let names: fn(usize) -> String = |at| format!("k{at}");
    type Piece = Box<dyn Fn(usize) -> Vec<u8>>;
    let pieces: [(&str, Piece); 5] = [
        ("properties", Box::new(move |at| property(&names(at)))),
        ("the same property", Box::new(move |_| property("k"))),
        ("keys", Box::new(|_| encode(3, 2, &encode(2, 2, b"k")))),
        ("unknown fields", Box::new(|_| encode(15, 2, b"x"))),
        (
            "queues and times",
            Box::new(|_| encode(2, 2, &encode(4, 2, &encode(1, 2, b"b")))),
        ),
    ];
    for (what, piece) in pieces {
        let make = |parts: usize| (0..parts).flat_map(&piece).collect::<Vec<u8>>();
        assert_linear(what, 1_000, make, |bytes| read(bytes));
    }
    // One inside the other: bounded by the decoder.
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        nested = encode(3, 2, &nested);
        if nested.len() > 1 << 16 {
            break;
        }
    }
    assert!(read(&nested).is_none());
}
