//! Failures on the way to the server, with the table of [`crate::trouble`]: redirects, proxies,
//! certificates, and addresses without a server.

use std::time::Duration;

use crate::support::gist_server::{Fault, GistServer};
use crate::support::other_server::{LOOPBACK_CA, OtherServer, unused_url};
use crate::support::world::World;
use crate::trouble::{End, SELF, Trouble, case, one, run};

#[test]
fn a_redirect_is_followed_only_on_the_same_host() {
    use End::{Later, Overcome};
    let elsewhere = OtherServer::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let to = |place: &str| format!("{}{place}", elsewhere.url("http"));
    let same = |name, code| {
        let again = Trouble::Requests(vec![Fault::redirect(code, SELF); 3]);
        case(name, again, Overcome)
    };
    let cases = vec![
        one(
            "301 to another port",
            Fault::redirect(301, to("/gists/x")),
            Later,
        ),
        one("302 to another port", Fault::redirect(302, to("/")), Later),
        one(
            "307 to another port",
            Fault::redirect(307, to("/gists/x")),
            Later,
        ),
        one(
            "308 to another port",
            Fault::redirect(308, to("/gists/x")),
            Later,
        ),
        one(
            "302 with two slashes",
            Fault::redirect(302, to("/").replace("http:", "")),
            Later,
        ),
        one(
            "302 to https",
            Fault::redirect(302, to("/").replace("http", "https")),
            Later,
        ),
        one(
            "307 to another name",
            Fault::redirect(307, to("/").replace("127.0.0.1", "localhost")),
            Later,
        ),
        one("303 to the same host", Fault::redirect(303, SELF), Later),
        one("302 to nowhere", Fault::refusal(302, "Found"), Later),
        one(
            "302 to nonsense",
            Fault::redirect(302, "http://[nonsense"),
            Later,
        ),
        case(
            "for ever on the same host",
            Trouble::Always(Fault::redirect(307, SELF)),
            Later,
        ),
        same("301 on the same host", 301),
        same("302 on the same host", 302),
        same("307 on the same host", 307),
        same("308 on the same host", 308),
    ];
    run(cases);
    assert_eq!(elsewhere.heard(), "", "nobody went there");
}

#[test]
fn a_missing_network_is_survived() {
    use End::Later;
    const API: &str = "JMO_TELEMETRY_GITHUB_API";
    let silent = OtherServer::answering(b"");
    let hello = OtherServer::answering(b"220 mail.example.org ESMTP\r\n");
    let endless = OtherServer::endless();
    let proxy = OtherServer::answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 999\r\n\r\nno");
    let at = |name, api: String| case(name, Trouble::Environment(vec![(API, api)]), Later);
    let proxied = |name, proxy: String| {
        let api = "https://api.github.invalid".to_owned();
        case(
            name,
            Trouble::Environment(vec![(API, api), ("HTTPS_PROXY", proxy)]),
            Later,
        )
    };
    run(vec![
        case("closed at once", Trouble::Refusing, Later),
        case("closed at once, again", Trouble::Refusing, Later).warm(),
        at("nobody listens", unused_url()),
        at("no such host", "https://api.github.invalid".to_owned()),
        at("a mail server", hello.url("http")),
        at("a mail server, with TLS", hello.url("https")),
        at("silence", silent.url("http")).hurried(),
        at("silence, with TLS", silent.url("https")).hurried(),
        at("a body without an end", endless.url("http")).hurried(),
        proxied("a proxy that is not there", unused_url()),
        proxied("a proxy that is something else", hello.url("http")),
        proxied("a silent proxy", silent.url("http")).hurried(),
        proxied("a proxy that says 404", proxy.url("http")),
        case(
            "a proxy for plain http, which this machine needs none for",
            Trouble::Environment(vec![("HTTP_PROXY", unused_url())]),
            End::Overcome,
        ),
        case(
            "such a proxy, but not for this host",
            Trouble::Environment(vec![
                ("HTTP_PROXY", unused_url()),
                ("NO_PROXY", "127.0.0.1".to_owned()),
            ]),
            End::Overcome,
        ),
    ]);
    assert!(proxy.heard().contains("CONNECT api.github.invalid:443"));
    assert!(
        !proxy.heard().contains("ghp_"),
        "a proxy is told where to, and no secret"
    );
}

#[test]
fn a_flush_ends_at_its_deadline_and_does_not_wait_for_the_server() {
    for fault in [
        Fault::StallAfterCommit(Duration::from_secs(5)),
        Fault::SlowAnswer(Duration::from_secs(5)),
    ] {
        let server = GistServer::start();
        let world = World::with_gist(&server);
        world.record_many(1);
        server.plan(fault);
        let report = world.flush(["--deadline", "1s"]);
        // Otherwise the server's answer or the end of its connection would have ended the flush.
        let error = report["error"].as_str().unwrap_or_default();
        assert!(
            error.contains("timed out") || error.contains("broke off"),
            "{report}"
        );
        assert_eq!(report["sent"], 0, "{report}");
    }
}

#[test]
fn a_certificate_is_trusted_only_if_ssl_cert_file_says_so() {
    let stranger = OtherServer::with_tls();
    let mut world = World::new()
        .with("JMO_TELEMETRY_GIST_ID", "0123456789abcdef")
        .with("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_secret")
        .with("JMO_TELEMETRY_GITHUB_API", &stranger.url("https"));
    world.record_many(1);
    let report = world.flush([]);
    assert_eq!(report["outcome"], "failed", "{report}");
    assert_eq!(stranger.heard(), "", "a stranger is told nothing");
    world.set("SSL_CERT_FILE", LOOPBACK_CA);
    let report = world.flush(["--now"]);
    assert_eq!(
        report["outcome"], "paused",
        "it was asked, and said 401: {report}"
    );
    assert!(stranger.heard().contains("Bearer ghp_secret"));
}
