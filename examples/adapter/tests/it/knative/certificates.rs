//! `K_CA_CERTS`: an endpoint whose certificate is signed by an authority that no system knows.

use eventlane_testkit::Process;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::gateway::Gateway;
use crate::{
    fakes::FakeSqs,
    support::{Files, LIMIT, command},
};

/// The endpoint, and its authority in PEM.
fn endpoint() -> (Gateway, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let gateway = Gateway::start_tls(certificate.der().clone(), key);
    (gateway, authority.pem())
}

#[test]
fn an_authority_is_trusted_that_the_environment_names() {
    let (gateway, authority) = endpoint();
    let (sqs, server) = FakeSqs::start();
    let files = Files::new();
    // Of a resource, and of a configuration.
    for (number, document) in [
        "apiVersion: eventlane.dev/v1alpha1\nkind: SqsSource\nmetadata: {name: orders}\n\
         spec: {queueURL: SERVER/000000000000/orders, region: us-east-1, endpoint: SERVER}\n",
        "pipelines:\n  orders:\n    source:\n      sqs:\n        \
         queue_url: SERVER/000000000000/orders\n        region: us-east-1\n        \
         endpoint: SERVER\n",
    ]
    .into_iter()
    .enumerate()
    {
        let file = files.write("orders.yaml", &document.replace("SERVER", &server));
        let prepare = |first: &str| {
            let mut command = command([first]);
            command.arg(&file).env("K_SINK", gateway.url("/orders"));
            // Of the source.
            command.env("AWS_ACCESS_KEY_ID", "AKIAGOOD");
            command.env("AWS_SECRET_ACCESS_KEY", "hush");
            command
        };

        let refused = prepare("check").output().unwrap();
        let shown = String::from_utf8(refused.stdout).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{shown}");
        let failed = shown.lines().find(|line| line.contains("FAILED")).unwrap();
        assert!(failed.trim_start().starts_with("sink"), "{shown}");
        assert!(failed.contains("UnknownIssuer"), "{shown}");

        let checked = prepare("check").env("K_CA_CERTS", &authority).output();
        assert!(checked.unwrap().status.success(), "{document}");

        let mut run = prepare("run");
        run.args(["--listen", "127.0.0.1:0"]);
        run.env("K_CA_CERTS", &authority);
        let adapter = Process::spawn(run);
        sqs.send(&number.to_string(), "hello");
        // Beside those of `check`.
        let requests = gateway.wait("/orders", 2 * (number + 1));
        assert_eq!(requests.last().unwrap().body, "hello");
        adapter.signal("TERM");
        adapter.succeed(LIMIT);
    }
}
