//! What browsers let other sites' pages do, and what the server lets them do where browsers do not ask.

use colloquy::http::HttpOptions;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::server::Setup;
use crate::support::user::Answer;
use crate::support::{Server, postgres, run};

async fn with(origins: Vec<&'static str>) -> Server {
    let setup = Setup {
        origins,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

/// The status that a request for a WebSocket is answered with, and the text where it is refused.
async fn upgrade(server: &Server, origin: Option<&str>) -> (u16, String) {
    let url = format!("ws://{}/graphql", server.address);
    let mut request = url.into_client_request().unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((_, response)) => (response.status().as_u16(), String::new()),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_websocket_is_refused_to_pages_of_other_origins() {
    run(async {
        let server = with(vec!["https://app.example.org"]).await;
        let own = format!("http://{}", server.address);
        for origin in [None, Some(own.as_str()), Some("https://app.example.org")] {
            assert_eq!(upgrade(&server, origin).await.0, 101, "{origin:?}");
        }
        for origin in [
            "https://evil.example.org",
            "http://app.example.org",
            "http://127.0.0.1",
            "null",
        ] {
            let (status, why) = upgrade(&server, Some(origin)).await;
            assert_eq!(status, 403, "{origin}");
            assert!(why.contains("--cors-origin"), "{why}");
        }
    });
}

#[test]
fn a_star_is_for_everybody() {
    run(async {
        let server = with(vec!["*"]).await;
        for origin in ["https://evil.example.org", "null"] {
            assert_eq!(upgrade(&server, Some(origin)).await.0, 101);
            let answer = preflight(&server, origin).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    });
}

async fn preflight(server: &Server, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let user = server.anonymous();
    user.http("OPTIONS", "/graphql", &headers, b"").await
}

#[test]
fn a_preflight_allows_what_clients_send() {
    run(async {
        let origin = "https://app.example.org";
        let server = with(vec![origin]).await;
        let answer = preflight(&server, origin).await;
        let header = |name: &str| answer.header(name).unwrap_or_default().to_ascii_lowercase();
        assert_eq!(header("access-control-allow-origin"), origin);
        assert!(header("vary").contains("origin"));
        assert_eq!(header("access-control-allow-credentials"), "");
        let allowed = header("access-control-allow-headers");
        for name in [
            "authorization",
            "content-type",
            "last-event-id",
            "x-request-id",
            "mcp-protocol-version",
            "apollo-require-preflight",
            "graphql-require-preflight",
            "x-apollo-operation-name",
        ] {
            assert!(allowed.split(',').any(|one| one.trim() == name), "{name}");
        }
        let refused = preflight(&server, "https://evil.example.org").await;
        assert_eq!(refused.header("access-control-allow-origin"), None);
        assert!(refused.header("vary").unwrap().contains("origin"));
    });
}

#[test]
fn browsers_are_told_not_to_keep_nor_to_guess() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let json = [("content-type", "application/json")];
        for (method, path, body) in [
            ("GET", "/healthz", &b""[..]),
            ("GET", "/graphql?query=%7B__typename%7D", b""),
            ("POST", "/graphql", br#"{"query":"{ __typename }"}"#),
            ("POST", "/graphql", b"nonsense"),
        ] {
            let answer = user.http(method, path, &json, body).await;
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("strict-transport-security"), None);
        }
        let page = user.http("GET", "/", &[], b"").await;
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let opener = page.header("cross-origin-opener-policy");
        assert_eq!(opener, Some("same-origin"));
    });
}

#[test]
fn the_page_can_be_switched_off() {
    run(async {
        let setup = Setup {
            http: HttpOptions {
                graphiql: false,
                ..HttpOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let user = server.anonymous();
        let root = user.http("GET", "/", &[], b"").await;
        assert_eq!(root.status, 404);
        assert!(String::from_utf8_lossy(&root.body).contains("/graphql"));
        let script = user.http("GET", "/graphiql/src/start.js", &[], b"").await;
        assert_eq!(script.status, 404);
        assert_eq!(user.http("GET", "/healthz", &[], b"").await.status, 200);
    });
}

#[test]
fn a_get_with_cookies_shows_that_no_other_page_caused_it() {
    run(async {
        let server = with(vec!["https://app.example.org"]).await;
        let user = server.anonymous();
        let cookie = ("cookie", "session=secret");
        let cases: [(&[(&str, &str)], u16); 14] = [
            (&[], 200),
            (&[("sec-fetch-site", "cross-site")], 200),
            (&[cookie], 400),
            (&[cookie, ("sec-fetch-site", "cross-site")], 400),
            (&[cookie, ("sec-fetch-site", "same-site")], 400),
            (&[cookie, ("sec-fetch-site", "same-origin")], 200),
            (&[cookie, ("sec-fetch-site", "none")], 200),
            (&[cookie, ("apollo-require-preflight", "")], 400),
            (&[cookie, ("apollo-require-preflight", "1")], 200),
            (&[cookie, ("graphql-require-preflight", "1")], 200),
            (&[cookie, ("x-apollo-operation-name", "Home")], 200),
            (&[cookie, ("origin", "https://evil.example.org")], 400),
            (&[cookie, ("origin", "https://app.example.org")], 200),
            (&[cookie, ("origin", "https://test")], 200),
        ];
        for (headers, status) in cases {
            let path = "/graphql?query=%7B__typename%7D";
            let answer = user.http("GET", path, headers, b"").await;
            assert_eq!(
                answer.status,
                status,
                "{headers:?}: {}",
                String::from_utf8_lossy(&answer.body)
            );
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("secret"),
                "{headers:?}"
            );
        }
        // A POST is JSON, which no page sends to another site unasked.
        let json = [cookie, ("content-type", "application/json")];
        let query = br#"{"query":"{ __typename }"}"#;
        assert_eq!(
            user.http("POST", "/graphql", &json, query).await.status,
            200
        );
    });
}
