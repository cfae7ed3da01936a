//! Which tokens are accepted: where the keys come from, and what the claims are called.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret as _, SecretString};

use crate::app::{
    AddressError, KeySource, Mapping, Name, Pointer, Refresher, Rules, SourceError, Times, Tokens,
};

/// The shortest pause between two looks at the source of keys.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The secret that signs tokens.
#[derive(Debug, Clone, Args)]
pub struct SecretArgs {
    /// The secret that tokens are signed with (HS256), at least 32 random bytes. A development run without
    /// one makes its own and keeps it in the data folder; with a `DATABASE_URL`, it or a source of public
    /// keys must be given.
    #[arg(
        long,
        env = "COLLOQUY_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub jwt_secret: Option<SecretString>,
}

/// Which tokens are accepted.
#[derive(Debug, Clone, Args)]
pub struct IdentityArgs {
    /// The secret.
    #[command(flatten)]
    pub secret: SecretArgs,
    /// The address of the issuer's public keys, a JSON Web Key Set; https, or http on this machine. The keys
    /// are got at the start and anew while the server runs.
    #[arg(long, env = "COLLOQUY_JWKS_URL", value_name = "URL")]
    pub jwks_url: Option<String>,
    /// A file with the issuer's public keys, a JSON Web Key Set. It is read at the start.
    #[arg(long, env = "COLLOQUY_JWKS_FILE", value_parser = path, value_name = "FILE")]
    pub jwks_file: Option<PathBuf>,
    /// A file with the issuer's one public key, in PEM. It is read at the start.
    #[arg(long, env = "COLLOQUY_JWT_PUBLIC_KEY", value_parser = path, value_name = "FILE")]
    pub jwt_public_key: Option<PathBuf>,
    /// A PEM file of the root certificates that the address of the keys is checked with. By default the
    /// system's.
    #[arg(long, env = "COLLOQUY_JWKS_CA", value_parser = path, value_name = "FILE")]
    pub jwks_ca: Option<PathBuf>,
    /// How often the keys are got anew from their address, on average; at least 1s.
    #[arg(long, env = "COLLOQUY_JWKS_REFRESH", default_value = "10m", value_parser = pause, value_name = "TIME")]
    pub jwks_refresh: Duration,
    /// How often the keys are got anew at most because a token names an unknown one; at least 1s.
    #[arg(long, env = "COLLOQUY_JWKS_REFETCH", default_value = "30s", value_parser = pause, value_name = "TIME")]
    pub jwks_refetch: Duration,
    /// The algorithms that are accepted, separated by commas. By default HS256 with the secret, and with
    /// public keys RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and `EdDSA`, each as the key is.
    #[arg(
        long,
        env = "COLLOQUY_JWT_ALGORITHMS",
        value_delimiter = ',',
        value_parser = algorithm,
        value_name = "NAME"
    )]
    pub jwt_algorithms: Vec<Algorithm>,
    /// The issuers (`iss`) that are accepted, separated by commas. By default `iss` is not looked at.
    #[arg(
        long,
        env = "COLLOQUY_JWT_ISSUER",
        value_delimiter = ',',
        value_name = "ISSUER"
    )]
    pub jwt_issuer: Vec<String>,
    /// The audiences (`aud`) of which a token must have one, separated by commas. By default `aud` is not
    /// looked at.
    #[arg(
        long,
        env = "COLLOQUY_JWT_AUDIENCE",
        value_delimiter = ',',
        value_name = "AUDIENCE"
    )]
    pub jwt_audience: Vec<String>,
    /// By how much clocks may differ when a token's times are judged.
    #[arg(long, env = "COLLOQUY_JWT_LEEWAY", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub jwt_leeway: Duration,
    /// Which claim says what.
    #[command(flatten)]
    pub claims: ClaimArgs,
}

/// Which claim says what. Each place is the name of a claim, or a JSON pointer (RFC 6901) that begins with
/// `/`, such as `/realm_access/roles`.
#[derive(Debug, Clone, Args)]
pub struct ClaimArgs {
    /// The claims of a known kind of issuer; the following settings go before it.
    #[arg(
        long = "jwt-claims",
        env = "COLLOQUY_JWT_CLAIMS",
        default_value = "standard",
        value_name = "KIND"
    )]
    pub kind: ClaimsKind,
    /// The claim with the user's id. By default `sub`.
    #[arg(
        long = "jwt-claim-subject",
        env = "COLLOQUY_JWT_CLAIM_SUBJECT",
        value_name = "CLAIM"
    )]
    pub subject: Option<Pointer>,
    /// The claim with the tenant. By default `tenant`; where a token has none, its tenant is `default`.
    #[arg(
        long = "jwt-claim-tenant",
        env = "COLLOQUY_JWT_CLAIM_TENANT",
        value_name = "CLAIM"
    )]
    pub tenant: Option<Pointer>,
    /// The claim with the user's name. By default `name`.
    #[arg(
        long = "jwt-claim-name",
        env = "COLLOQUY_JWT_CLAIM_NAME",
        value_name = "CLAIM"
    )]
    pub name: Option<Pointer>,
    /// The claim with the address of the user's picture. By default `picture`.
    #[arg(
        long = "jwt-claim-picture",
        env = "COLLOQUY_JWT_CLAIM_PICTURE",
        value_name = "CLAIM"
    )]
    pub picture: Option<Pointer>,
    /// The claim with what the token permits: texts, or one text with spaces between them. By default
    /// `permissions`.
    #[arg(
        long = "jwt-claim-permissions",
        env = "COLLOQUY_JWT_CLAIM_PERMISSIONS",
        value_name = "CLAIM"
    )]
    pub permissions: Option<Pointer>,
    /// The claim that is compared with the audiences. By default `aud`.
    #[arg(
        long = "jwt-claim-audience",
        env = "COLLOQUY_JWT_CLAIM_AUDIENCE",
        value_name = "CLAIM"
    )]
    pub audience: Option<Pointer>,
}

/// A known kind of issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClaimsKind {
    /// The names of JWT and `OpenID` Connect.
    Standard,
    /// Those of `SourceLoop`'s authentication service.
    #[value(name = "sourceloop")]
    SourceLoop,
}

/// What is wrong with the settings of tokens.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is more than one source of keys.
    #[error("tokens are checked with keys of one source: set only one of {}", .0.join(" and "))]
    Sources(Vec<&'static str>),
    /// The address of the keys cannot be one.
    #[error("COLLOQUY_JWKS_URL: {0}")]
    Address(#[source] AddressError),
    /// A certificate file belongs to an address.
    #[error("COLLOQUY_JWKS_CA is of use with an https:// address in COLLOQUY_JWKS_URL only")]
    Roots,
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// A file; nothing, where a variable is set to nothing.
#[expect(
    clippy::unnecessary_wraps,
    reason = "a parser of the command line returns a result"
)]
fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

fn pause(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < PAUSE_MIN {
        return Err("it is at least 1s".to_owned());
    }
    Ok(time)
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let known = Algorithm::from_str(text.trim());
    known.or(Err("it is none of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 \
                  and EdDSA".to_owned()))
}

/// A variable that is set to nothing counts as absent.
fn given<T: AsRef<OsStr>>(value: Option<&T>) -> Option<&T> {
    value.filter(|value| !value.as_ref().is_empty())
}

fn listed(values: &[String]) -> Vec<String> {
    let values = values.iter().map(|value| value.trim().to_owned());
    values.filter(|value| !value.is_empty()).collect()
}

impl SecretArgs {
    /// The secret, if one is given. A variable that is set to nothing counts as absent.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretString> {
        let secret = self.jwt_secret.as_ref()?;
        (!secret.expose_secret().is_empty()).then_some(secret)
    }
}

impl IdentityArgs {
    /// Where the keys come from, if that is said.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] where it is said in two ways, or cannot be used.
    pub fn source(&self) -> Result<Option<KeySource>, IdentityError> {
        let secret = self.secret.secret().cloned().map(KeySource::Secret);
        let file = given(self.jwks_file.as_ref()).cloned();
        let key = given(self.jwt_public_key.as_ref()).cloned();
        let sources = [
            ("COLLOQUY_JWT_SECRET", secret),
            ("COLLOQUY_JWKS_URL", self.address()?),
            ("COLLOQUY_JWKS_FILE", file.map(KeySource::SetFile)),
            ("COLLOQUY_JWT_PUBLIC_KEY", key.map(KeySource::PublicKey)),
        ];
        let given = sources
            .into_iter()
            .filter_map(|(name, source)| Some((name, source?)));
        let (names, mut sources): (Vec<_>, Vec<_>) = given.unzip();
        if sources.len() > 1 {
            return Err(IdentityError::Sources(names));
        }
        Ok(sources.pop())
    }

    fn address(&self) -> Result<Option<KeySource>, IdentityError> {
        let roots = given(self.jwks_ca.as_ref()).cloned();
        let address = given(self.jwks_url.as_ref());
        if roots.is_some() && !address.is_some_and(|url| url.starts_with("https://")) {
            return Err(IdentityError::Roots);
        }
        let address = address.map(|url| url.parse().map_err(IdentityError::Address));
        Ok(address.transpose()?.map(|address| KeySource::Address {
            address,
            roots,
            times: Times {
                refresh: self.jwks_refresh,
                refetch: self.jwks_refetch,
            },
        }))
    }

    /// What reads tokens with the keys of a source, and the task that gets the keys, where they have an
    /// address.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] where the source cannot be used.
    pub fn tokens(&self, source: KeySource) -> Result<(Tokens, Option<Refresher>), IdentityError> {
        let rules = Rules {
            leeway: self.jwt_leeway,
            issuers: listed(&self.jwt_issuer),
            audiences: listed(&self.jwt_audience),
            mapping: self.claims.mapping(),
        };
        let public = !matches!(source, KeySource::Secret(_));
        if public && (rules.issuers.is_empty() || rules.audiences.is_empty()) {
            tracing::warn!(
                issuer = !rules.issuers.is_empty(),
                audience = !rules.audiences.is_empty(),
                "tokens that the issuer made for other services are accepted too, unless both \
                 COLLOQUY_JWT_ISSUER and COLLOQUY_JWT_AUDIENCE are set"
            );
        }
        Ok(Tokens::from_source(source, &self.jwt_algorithms, rules)?)
    }
}

impl ClaimArgs {
    fn mapping(&self) -> Mapping {
        let kind = match self.kind {
            ClaimsKind::Standard => Mapping::default(),
            ClaimsKind::SourceLoop => Mapping::sourceloop(),
        };
        let own = |place: &Option<Pointer>, usual| place.clone().unwrap_or(usual);
        Mapping {
            subject: own(&self.subject, kind.subject),
            tenant: own(&self.tenant, kind.tenant),
            name: self.name.clone().map_or(kind.name, Name::Whole),
            picture: own(&self.picture, kind.picture),
            permissions: own(&self.permissions, kind.permissions),
            audience: own(&self.audience, kind.audience),
            password_expiry: kind.password_expiry,
        }
    }
}
