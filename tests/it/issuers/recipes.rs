//! The recipes of `docs/operating.md`, run as they stand there.

use clap::{CommandFactory as _, Parser as _};
use colloquy::app::Session;
use colloquy::config::{Cli, IdentityArgs};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{is_refused, server};
use crate::support::issuer::{Issuer, Signer, claims, claims_with};
use crate::support::server::SECRET;
use crate::support::{Server, run};

const OPERATING: &str = include_str!("../../../docs/operating.md");

/// The recipes: the heading of each, and the variables that its block exports.
fn recipes() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let section = OPERATING
        .split("\n## ")
        .find(|text| text.starts_with("Tokens\n"));
    let parts = section.unwrap().split("\n### ").skip(1);
    let read = |part: &'static str| {
        let block = part.split("```sh\n").nth(1)?.split("```").next()?;
        Some((
            part.lines().next()?,
            block.lines().filter_map(exported).collect(),
        ))
    };
    parts.filter_map(read).collect()
}

fn exported(line: &'static str) -> Option<(&'static str, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let quote = value
        .chars()
        .next()
        .filter(|first| ['\'', '"'].contains(first));
    let value = match quote {
        Some(quote) => value[1..].split(quote).next().unwrap(),
        None => value.split_whitespace().next().unwrap(),
    };
    Some((name, value.to_owned()))
}

/// The settings of a recipe, with what is of this machine in place of what is of the reader's.
fn settings(heading: &str, here: &[(&str, &str)]) -> IdentityArgs {
    let recipes = recipes();
    let (_, variables) = recipes.iter().find(|(name, _)| *name == heading).unwrap();
    let command = Cli::command();
    let mut arguments = vec!["colloquy".to_owned()];
    for (name, value) in variables {
        let argument = command
            .get_arguments()
            .find(|one| one.get_env().is_some_and(|env| env == *name));
        let flag = argument
            .unwrap_or_else(|| panic!("{name} is no variable"))
            .get_long();
        let own = here.iter().find(|(variable, _)| variable == name);
        let value = own.map_or(value.as_str(), |(_, value)| value);
        arguments.push(format!("--{}={value}", flag.unwrap()));
    }
    for (name, _) in here {
        assert!(
            variables.iter().any(|(one, _)| one == name),
            "{name} is not in the recipe"
        );
    }
    Cli::try_parse_from(arguments).unwrap().serve.identity
}

async fn session(server: &Server, token: &str) -> Session {
    server.app.authenticate(token).await.unwrap()
}

/// Asserts who a token is of: the user, the tenant and what they may.
async fn is_of(server: &Server, token: &str, user: &str, tenant: &str, permissions: &[&str]) {
    let session = session(server, token).await;
    assert_eq!(session.actor.user.as_str(), user);
    assert_eq!(session.actor.tenant.as_str(), tenant);
    assert_eq!(*session.permissions, *permissions);
}

/// Asserts that a token is refused when one of its claims is another.
async fn counts(server: &Server, signer: &Signer, good: &Value, changes: &[(&str, Value)]) {
    for (name, value) in changes {
        let mut claims = good.clone();
        claims[name] = value.clone();
        is_refused(server, &signer.sign(&claims), &format!("{name}: {value}")).await;
    }
}

/// A server with a recipe's settings and keys of an issuer here.
async fn with_keys(heading: &str, keys: &[Value]) -> (Server, Issuer) {
    let issuer = Issuer::showing(keys).await;
    let identity = settings(heading, &[("COLLOQUY_JWKS_URL", &issuer.url())]);
    (server(identity).await, issuer)
}

#[test]
fn every_recipe_is_run() {
    let headings: Vec<_> = recipes().into_iter().map(|(heading, _)| heading).collect();
    let run = [
        "A shared secret",
        "Auth0",
        "Keycloak",
        "Amazon Cognito",
        "SourceLoop",
    ];
    assert_eq!(headings, run);
}

#[test]
fn a_shared_secret() {
    run(async {
        let identity = settings("A shared secret", &[("COLLOQUY_JWT_SECRET", SECRET)]);
        let server = server(identity).await;
        let signer = Signer::secret(SECRET.as_bytes());
        let token = signer.sign(&claims_with("alice", json!({ "tenant": "acme" })));
        is_of(&server, &token, "alice", "acme", &[]).await;
        let other = Signer::secret(b"another secret of thirty-two bytes");
        is_refused(&server, &other.sign(&claims("alice")), "another secret").await;
    });
}

#[test]
fn auth0() {
    run(async {
        let signer = Signer::rsa(0).named("NzA0MDg0");
        let key = json!({ "use": "sig", "alg": "RS256", "x5t": "NzA0MDg0", "x5c": ["MAA="] });
        let (server, _issuer) = with_keys("Auth0", &[signer.jwk_with(key)]).await;
        let good = claims_with(
            "auth0|507f1f77bcf86cd799439020",
            json!({
                "iss": "https://example.eu.auth0.com/",
                "aud": ["https://chat.example.com", "https://example.eu.auth0.com/userinfo"],
                "azp": "my_client_id", "scope": "openid profile", "gty": "password",
                "permissions": ["chat:read", "chat:write"],
                "https://example.com/tenant": "acme", "https://example.com/name": "Ada",
            }),
        );
        let token = signer.sign(&good);
        let permissions = ["chat:read", "chat:write"];
        is_of(
            &server,
            &token,
            "auth0|507f1f77bcf86cd799439020",
            "acme",
            &permissions,
        )
        .await;
        let changes = [
            ("iss", json!("https://other.eu.auth0.com/")),
            ("aud", json!("https://shop.example.com")),
        ];
        counts(&server, &signer, &good, &changes).await;
        let other = signer.by(Algorithm::PS256).sign(&good);
        is_refused(&server, &other, "another algorithm").await;
    });
}

#[test]
fn keycloak() {
    run(async {
        let signer = Signer::rsa(0).named("signs");
        let encrypts = Signer::rsa(1).named("encrypts");
        let keys = [
            encrypts.jwk_with(json!({ "use": "enc", "alg": "RSA-OAEP" })),
            signer.jwk_with(json!({ "use": "sig", "alg": "RS256" })),
        ];
        let (server, _issuer) = with_keys("Keycloak", &keys).await;
        let good = claims_with(
            "3f1c6a8e-0c51-4b7a-9d8e-6f5a4b3c2d1e",
            json!({
                "iss": "https://keycloak.example.com/realms/example",
                "aud": ["colloquy", "account"], "typ": "Bearer", "azp": "web",
                "jti": "onrtac:5b1e", "sid": "f2", "acr": "1",
                "realm_access": { "roles": ["offline_access", "moderator"] },
                "resource_access": { "account": { "roles": ["view-profile"] } },
                "scope": "openid email profile", "name": "Ada Lovelace",
                "preferred_username": "ada", "email_verified": true,
            }),
        );
        let token = signer.sign(&good);
        let roles = ["offline_access", "moderator"];
        is_of(
            &server,
            &token,
            "3f1c6a8e-0c51-4b7a-9d8e-6f5a4b3c2d1e",
            "default",
            &roles,
        )
        .await;
        let changes = [
            ("iss", json!("https://keycloak.example.com/realms/master")),
            ("aud", json!("account")),
        ];
        counts(&server, &signer, &good, &changes).await;
        is_refused(&server, &encrypts.sign(&good), "the key for encryption").await;
    });
}

#[test]
fn amazon_cognito() {
    run(async {
        let (signer, id_signer) = (Signer::rsa(0).named("access="), Signer::rsa(1).named("id="));
        let member = json!({ "use": "sig", "alg": "RS256" });
        let keys = [signer.jwk_with(member.clone()), id_signer.jwk_with(member)];
        let (server, _issuer) = with_keys("Amazon Cognito", &keys).await;
        let good = claims_with(
            "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            json!({
                "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example",
                "client_id": "1example23456789", "token_use": "access",
                "cognito:groups": ["moderators"], "scope": "aws.cognito.signin.user.admin",
                "username": "ada", "jti": "e1", "origin_jti": "e0", "event_id": "e2", "version": 2,
            }),
        );
        let token = signer.sign(&good);
        let subject = good["sub"].as_str().unwrap();
        is_of(&server, &token, subject, "default", &["moderators"]).await;
        let changes = [
            (
                "iss",
                json!("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"),
            ),
            ("client_id", json!("another")),
        ];
        counts(&server, &signer, &good, &changes).await;
        // An id token is for the application, and no key to the chats.
        let mut id = good;
        id["aud"] = id.as_object_mut().unwrap().remove("client_id").unwrap();
        id["token_use"] = json!("id");
        is_refused(&server, &id_signer.sign(&id), "an id token").await;
    });
}

#[test]
fn sourceloop() {
    run(async {
        let signer = Signer::secret(SECRET.as_bytes());
        let identity = settings("SourceLoop", &[("COLLOQUY_JWT_SECRET", SECRET)]);
        let server = server(identity).await;
        let mut good = claims_with(
            "x",
            json!({
                "id": "u", "userTenantId": "ut", "tenantId": "t", "tenantType": "client",
                "role": "Member", "permissions": ["ViewMessage"], "username": "ada",
                "firstName": "Ada", "lastName": "Lovelace", "authClientId": 1,
                "passwordExpiryTime": "2999-01-01T00:00:00.000Z", "iss": "https://auth.example.com",
            }),
        );
        good.as_object_mut().unwrap().remove("sub");
        is_of(&server, &signer.sign(&good), "ut", "t", &["ViewMessage"]).await;
        let changes = [
            ("iss", json!("https://other.example.com")),
            ("passwordExpiryTime", json!("2020-01-01T00:00:00.000Z")),
        ];
        counts(&server, &signer, &good, &changes).await;
    });
}
