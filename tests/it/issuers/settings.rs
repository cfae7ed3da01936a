//! Settings that cannot be meant: each is refused at the start, in one sentence.

use clap::Parser as _;
use colloquy::config::Cli;

use crate::support::issuer::{Signer, identity, set};
use serde_json::json;

/// What is said of these arguments.
fn said(arguments: &[&str]) -> String {
    let identity = identity(arguments);
    let tokens = identity.source().and_then(|source| {
        let source = source.expect("a source of keys");
        identity.tokens(source).map(|_| ())
    });
    match tokens {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn keys_come_from_one_source() {
    let secret = ["--jwt-secret", "a secret"];
    let url = ["--jwks-url", "https://id.example.com/keys"];
    let file = ["--jwks-file", "/keys.json"];
    let key = ["--jwt-public-key", "/key.pem"];
    for two in [
        [secret, url],
        [secret, file],
        [secret, key],
        [url, file],
        [url, key],
        [file, key],
    ] {
        let said = said(two.as_flattened());
        assert!(said.contains("set only one of"), "{two:?}: {said}");
    }
    assert_eq!(
        said(&[secret, url].concat()),
        "tokens are checked with keys of one source: set only one of COLLOQUY_JWT_SECRET and \
         COLLOQUY_JWKS_URL"
    );
    // What is set to nothing is not set.
    let empty = [
        "--jwt-secret",
        "",
        "--jwks-file",
        "",
        "--jwt-public-key",
        "",
    ];
    assert_eq!(said(&[url.as_slice(), &empty].concat()), "");
    assert!(identity(&["--jwks-url", ""]).source().unwrap().is_none());
}

#[test]
fn algorithms_are_those_of_the_source() {
    let (secret, url) = (
        ["--jwt-secret", "a secret"],
        ["--jwks-url", "http://localhost/keys"],
    );
    let with = |source: [&str; 2], algorithms: &str| {
        said(&[source.as_slice(), &["--jwt-algorithms", algorithms]].concat())
    };
    for (source, algorithms) in [
        (secret, "HS256"),
        (secret, "HS384,HS512"),
        (url, "RS256"),
        (url, "PS256, ES384 ,EdDSA"),
    ] {
        assert_eq!(with(source, algorithms), "", "{algorithms}");
    }
    for (source, algorithms) in [
        (secret, "RS256"),
        (secret, "HS256,ES256"),
        (url, "HS256"),
        (url, "RS256,HS512"),
    ] {
        let said = with(source, algorithms);
        assert!(
            said.contains("cannot be accepted from this source"),
            "{algorithms}: {said}"
        );
    }
    for algorithms in ["none", "RS256,none", "rs256", ""] {
        let arguments = ["colloquy", "--jwt-algorithms", algorithms];
        assert!(Cli::try_parse_from(arguments).is_err(), "{algorithms}");
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let signer = Signer::rsa(0);
    let certificate = signer.pem().replace("PUBLIC KEY", "CERTIFICATE");
    let private = signer.pem().replace("PUBLIC KEY", "PRIVATE KEY");
    let files = [
        ("empty", String::new()),
        ("html", "<!doctype html>".to_owned()),
        ("certificate", certificate),
        ("private", private),
        ("two", signer.pem().repeat(2)),
        ("good.pem", signer.pem()),
        ("ec.pem", Signer::es384().pem()),
        ("good.json", set(&[signer.jwk()]).to_string()),
        (
            "enc.json",
            set(&[signer.jwk_with(json!({ "use": "enc" }))]).to_string(),
        ),
        ("large.json", " ".repeat(256 * 1024 + 1)),
    ];
    for (name, text) in files {
        std::fs::write(path(name), text).unwrap();
    }
    assert_eq!(said(&["--jwt-public-key", &path("good.pem")]), "");
    assert_eq!(said(&["--jwks-file", &path("good.json")]), "");
    let no_key = "no single public key";
    for (flag, name, part) in [
        ("--jwt-public-key", "absent", "cannot be read"),
        ("--jwt-public-key", "empty", no_key),
        ("--jwt-public-key", "html", no_key),
        ("--jwt-public-key", "certificate", no_key),
        ("--jwt-public-key", "private", no_key),
        ("--jwt-public-key", "two", no_key),
        ("--jwt-public-key", "good.json", no_key),
        ("--jwks-file", "absent", "cannot be read"),
        ("--jwks-file", "empty", "no JSON Web Key Set"),
        ("--jwks-file", "good.pem", "no JSON Web Key Set"),
        ("--jwks-file", "enc.json", "no key that tokens"),
        ("--jwks-file", "large.json", "more than 256 KiB"),
    ] {
        let said = said(&[flag, &path(name)]);
        assert!(
            said.contains(part) && said.contains(name),
            "{flag} {name}: {said}"
        );
    }
    let curve = [
        "--jwt-public-key",
        &path("ec.pem"),
        "--jwt-algorithms",
        "ES256",
    ];
    assert!(said(&curve).contains(no_key));
    for url in ["http://id.example.com/keys", "keys", "ftp://localhost/"] {
        assert!(said(&["--jwks-url", url]).contains("https:// URL"), "{url}");
    }
    let http = [
        "--jwks-url",
        "http://localhost/keys",
        "--jwks-ca",
        &path("good.pem"),
    ];
    assert!(said(&http).contains("COLLOQUY_JWKS_CA"));
    for ca in ["absent", "empty", "html"] {
        let https = [
            "--jwks-url",
            "https://localhost/keys",
            "--jwks-ca",
            &path(ca),
        ];
        assert_ne!(said(&https), "", "{ca}");
    }
    for flags in [
        ["--jwks-refresh", "0s"],
        ["--jwks-refetch", "999ms"],
        ["--jwt-claim-subject", "/~"],
    ] {
        let arguments = [&["colloquy"], flags.as_slice()].concat();
        assert!(Cli::try_parse_from(arguments).is_err(), "{flags:?}");
    }
}
