//! Tokens, keys and claims, whatever is handed in: nobody is known yet when these are read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::collection::vec;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::envelope::{Envelope, TOKEN_MAX_BYTES};
use super::keys::{self, KeySet, PUBLIC_ALGORITHMS};
use super::{KeyAddress, Mapping, Pointer, Rules, TokenError, Tokens};
use crate::app::{Error, Session};
use crate::fuzz::{bytes, mutated, text, texts, within};

const SECRET: &str = "a secret of thirty-two bytes, or more";

/// How many bytes a token may take for each of its own: its parts are decoded and made into values.
const MULTIPLE: usize = 64;

/// How many bytes a set of keys may take for each of its own. A member of an object, seven bytes at the least, is
/// a name and a value of 32 bytes in a tree, whose nodes have room for eleven; and most is there twice for a moment.
const SET_MULTIPLE: usize = 256;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn tokens() -> Tokens {
    Tokens::new(&SecretString::from(SECRET), Duration::from_secs(5))
}

fn read(tokens: &Tokens, token: &str) -> Result<Session, TokenError> {
    // Keys that are there already are not waited for.
    let read = tokens.read(token, now()).now_or_never().expect("at once");
    read.map(|(session, _)| session).map_err(|error| {
        let Error::Token(why) = error else {
            panic!("{error:?}");
        };
        why
    })
}

fn signed(header: &Header, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(header, claims, &key).unwrap()
}

/// Tokens of ours, all of them good.
fn token() -> impl Strategy<Value = String> {
    ("[a-z]{1,10}", 0..10_000_i64, any::<bool>()).prop_map(|(user, left, named)| {
        let kid = named.then(|| "k".to_owned());
        let header = Header {
            kid,
            ..Header::new(Algorithm::HS256)
        };
        let exp = now().timestamp() + left;
        signed(
            &header,
            &json!({ "sub": user, "tenant": "t", "exp": exp, "permissions": ["a"] }),
        )
    })
}

/// Values that claims may have.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-5_000_i64..5_000).prop_map(|off| Value::from(now().timestamp() + off)),
        texts(20).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let members = vec(("[a-z]{1,4}", inner.clone()), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Claims of the names that are looked at.
fn claims() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 12] = [
        "sub",
        "tenant",
        "exp",
        "iat",
        "nbf",
        "jti",
        "name",
        "picture",
        "permissions",
        "aud",
        "userTenantId",
        "passwordExpiryTime",
    ];
    let likely = (any::<bool>(), "[a-z]{1,5}", 0..5_000_i64);
    (
        vec((prop::sample::select(&NAMES[..]), value()), 0..8),
        likely,
    )
        .prop_map(|(members, (likely, user, left))| {
            let mut claims: serde_json::Map<String, Value> = members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            if likely {
                claims.insert("sub".into(), user.clone().into());
                claims.insert("userTenantId".into(), user.into());
                claims.insert("exp".into(), (now().timestamp() + left).into());
            }
            claims.into()
        })
}

proptest! {
    #[test]
    fn any_text_is_no_token(given in prop_oneof![texts(200), "[A-Za-z0-9_-]{0,90}\\.[A-Za-z0-9_-]{0,90}\\.[A-Za-z0-9_-]{0,90}"]) {
        let tokens = tokens();
        let read = within(MULTIPLE, &given, || read(&tokens, &given));
        prop_assert!(read.is_err_and(TokenError::is_forged));
    }

    /// A token has one spelling: no byte of it can be another, none can be missing or be added.
    #[test]
    fn a_mutated_token_is_refused((original, given) in vec(token(), 2).prop_flat_map(|both| {
        let mutated = mutated(prop::sample::select(both.clone()));
        (Just(both), mutated)
    })) {
        let (given, tokens) = (text(given), tokens());
        let read = within(MULTIPLE, &given, || read(&tokens, &given));
        if !original.contains(&given) {
            let why = read.expect_err("somebody else's token is accepted");
            prop_assert!(why.is_forged(), "{why:?}");
        }
    }

    #[test]
    fn a_token_of_ours_returns(user in "[^\\x00]{1,60}", tenant in "[^\\x00]{1,60}") {
        prop_assume!(crate::model::UserId::new(user.as_str()).is_ok());
        let exp = now().timestamp() + 60;
        let token = signed(&Header::new(Algorithm::HS256), &json!({ "sub": user, "tenant": tenant, "exp": exp }));
        let session = read(&tokens(), &token).unwrap();
        prop_assert_eq!(session.actor.user.as_str(), user);
        prop_assert_eq!(session.actor.tenant.as_str(), tenant);
    }

    /// The signature fits, and still nothing that the issuer may write gets anybody more than it says.
    #[test]
    fn claims_of_any_values_are_judged(claims in claims()) {
        let written = claims.to_string();
        for mapping in [Mapping::default(), Mapping::sourceloop()] {
            let subject = mapping.subject.of(&claims).cloned().unwrap_or_default();
            let rules = Rules { mapping, ..Rules::default() };
            if let Ok((session, _)) = within(MULTIPLE, &written, || rules.judge(&claims, now())) {
                let number = subject.is_number().then(|| subject.to_string());
                let named = subject.as_str().map(str::to_owned).or(number);
                prop_assert_eq!(Some(session.actor.user.as_str()), named.as_deref());
                prop_assert!(session.ends_at > now());
                prop_assert!(session.issued_at.is_none_or(|at| at <= now()));
            }
        }
    }
}

/// Seconds from now, most of them beside the moment from which on something is judged otherwise.
fn seconds(leeway: i64) -> impl Strategy<Value = i64> {
    prop_oneof![
        -60..60_i64,
        -2..=2_i64,
        -leeway - 2..=2 - leeway,
        leeway - 2..=leeway + 2
    ]
}

proptest! {
    /// To the second, and with the leeway, which the end of a password does not have.
    #[test]
    fn a_token_is_good_from_its_beginning_to_its_end(
        (leeway, exp, nbf, iat) in (0..30_i64).prop_flat_map(|leeway| {
            let seconds = || seconds(leeway);
            (Just(leeway), seconds(), prop::option::of(seconds()), prop::option::of(seconds()))
        }),
        password in prop::option::of(-3..60_i64),
        fraction in prop::sample::select(&[0.0, 0.25, 0.75][..]),
    ) {
        // A fraction is of the second that it is in.
        let date = |seconds: i64| {
            let whole = u32::try_from(now().timestamp() + seconds).unwrap();
            json!(f64::from(whole) + fraction)
        };
        let claims = json!({
            "userTenantId": "u", "exp": date(exp), "nbf": nbf.map(date), "iat": iat.map(date),
            "passwordExpiryTime": password.map(|seconds| (now().timestamp() + seconds) * 1000),
        });
        let rules = Rules {
            mapping: Mapping::sourceloop(),
            leeway: Duration::from_secs(leeway.unsigned_abs()),
            ..Rules::default()
        };
        let judged = rules.judge(&claims, now());
        let judged = judged.map(|(session, _)| session.ends_at.timestamp() - now().timestamp());
        let expected = if exp + leeway <= 0 {
            Err(TokenError::Expired)
        } else if password.is_some_and(|password| password <= 0) {
            Err(TokenError::Password)
        } else if nbf.max(iat).is_some_and(|begin| begin > leeway) {
            Err(TokenError::Immature)
        } else {
            Ok(password.map_or(exp + leeway, |password| password.min(exp + leeway)))
        };
        prop_assert_eq!(judged, expected, "{}", claims);
    }

    #[test]
    fn a_token_of_ours_ends(ago in prop_oneof![6..10_i64, 6..i64::from(u32::MAX / 4)]) {
        let claims = json!({ "sub": "u", "exp": now().timestamp() - ago });
        let token = signed(&Header::new(Algorithm::HS256), &claims);
        prop_assert_eq!(read(&tokens(), &token).map(drop), Err(TokenError::Expired));
    }
}

/// A key of each kind: RSA's modulus is any number, P-256 is of RFC 7517, A.1, Ed25519 of RFC 8037, A.2.
fn set() -> Value {
    json!({ "keys": [
        { "kty": "RSA", "kid": "r", "n": format!("{}w", "q".repeat(341)), "e": "AQAB", "alg": "RS256", "use": "sig" },
        { "kty": "EC", "kid": "e", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
          "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "key_ops": ["verify"] },
        { "kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ] })
}

/// The public key of RFC 8410, section 10.1.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn the_keys_that_are_mutated_are_good_ones() {
    let set = KeySet::from_jwks(set().to_string().as_bytes(), &PUBLIC_ALGORITHMS);
    assert_eq!(set.unwrap().len(), 3);
    keys::from_pem(PEM.as_bytes(), &PUBLIC_ALGORITHMS).unwrap();
}

/// Whatever the keys are, nothing that they did not sign is taken.
fn checks(keys: &KeySet) {
    for (algorithm, id) in [("RS256", "r"), ("ES256", "e"), ("EdDSA", "o")] {
        use base64::Engine as _;
        let head = json!({ "alg": algorithm, "kid": id }).to_string();
        let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(head);
        let token = format!("{head}.e30.{}", "A".repeat(86));
        let envelope = Envelope::open(&token).unwrap();
        if let Ok(key) = keys
            .find(envelope.algorithm, envelope.key_id.as_deref())
            .key()
        {
            envelope.claims(key).expect_err("nobody signed it");
        }
    }
}

/// A value at the end of a path, with others beside it at each step.
fn nested(path: &[String], value: &Value) -> Value {
    path.iter().rev().fold(value.clone(), |inner, name| {
        let beside = ["", "a", "~", "/", "~0", "~1", "~01", "0"]
            .map(|other| (other.to_owned(), json!("beside")));
        let mut members: serde_json::Map<String, Value> = beside.into_iter().collect();
        members.insert(name.clone(), inner);
        members.into()
    })
}

/// A name in a pointer, letter by letter; nothing where a tilde stands before anything but 0 and 1.
fn unescaped(name: &str) -> Option<String> {
    let mut letters = name.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '~' => match letters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

proptest! {
    #[test]
    fn any_bytes_are_keys_or_an_error(given in bytes(300)) {
        let set = within(SET_MULTIPLE, &given, || KeySet::from_jwks(&given, &PUBLIC_ALGORITHMS));
        prop_assert!(set.is_err());
        let pem = within(SET_MULTIPLE, &given, || keys::from_pem(&given, &PUBLIC_ALGORITHMS));
        prop_assert!(pem.is_err());
    }

    #[test]
    fn mutated_keys_are_keys_or_an_error(
        given in mutated(Just(set().to_string())),
        pem in mutated(Just(PEM)),
    ) {
        let set = within(SET_MULTIPLE, &given, || KeySet::from_jwks(&given, &PUBLIC_ALGORITHMS));
        set.iter().for_each(checks);
        let pem = within(SET_MULTIPLE, &pem, || keys::from_pem(&pem, &PUBLIC_ALGORITHMS));
        pem.iter().for_each(checks);
    }

    /// RFC 6901, sections 3 and 4: `~1` is a slash, `~0` is a tilde, and nothing else stands behind a tilde.
    #[test]
    fn a_pointer_leads_along_its_names(
        path in vec(prop_oneof!["[~/012a]{0,4}", texts(6)], 1..5),
        value in value(),
    ) {
        let escaped = path.iter().map(|name| {
            let escape = |letter| match letter {
                '~' => "~0".to_owned(),
                '/' => "~1".to_owned(),
                other => other.to_string(),
            };
            name.chars().fold("/".to_owned(), |text, letter| text + &escape(letter))
        });
        let text: String = escaped.collect();
        let pointer = within(MULTIPLE, &text, || text.parse::<Pointer>());
        let claims = nested(&path, &value);
        prop_assert_eq!(pointer.unwrap().of(&claims), (!value.is_null()).then_some(&value));
    }

    #[test]
    fn a_pointer_is_well_formed_or_an_error(text in "/[~/012a]{0,8}") {
        let read = text.parse::<Pointer>();
        let path: Option<Vec<String>> = text.split('/').skip(1).map(unescaped).collect();
        prop_assert_eq!(read.is_ok(), path.is_some());
        if let (Ok(pointer), Some(path)) = (read, path) {
            let claims = nested(&path, &json!("found"));
            prop_assert_eq!(pointer.of(&claims), Some(&json!("found")));
        }
    }

    #[test]
    fn a_claim_of_any_name_is_found_by_its_name(name in prop_oneof![texts(40), "[~/012a]{1,6}"], value in value()) {
        let pointer = within(MULTIPLE, &name, || name.parse::<Pointer>());
        if let Ok(pointer) = pointer && !name.starts_with('/') {
            let claims = json!({ name: value.clone() });
            let found = (!value.is_null()).then_some(&value);
            prop_assert_eq!(pointer.of(&claims), found);
        }
    }

    #[test]
    fn an_address_of_keys_has_one_spelling(given in mutated(prop::sample::select(vec![
        "https://id.example.org/keys?a=b", "http://localhost:80/x", "http://[::1]/", "http://127.0.0.1",
    ]))) {
        let given = text(given);
        if let Ok(address) = within(MULTIPLE, &given, || given.parse::<KeyAddress>()) {
            prop_assert!(!given.contains('@') || address.to_string().contains(['/', '?']));
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}

/// Far more than a head of a request has room for, or a socket's first message.
#[test]
fn a_token_that_is_too_long_is_not_even_decoded() {
    let given = format!("{}.e30.x", "A".repeat(10 * TOKEN_MAX_BYTES));
    let read = within(0, [], || Envelope::open(&given).map(drop));
    assert_eq!(read, Err(TokenError::Malformed));
}
