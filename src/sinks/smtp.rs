//! Mail, for notifications alone.

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Tls, TlsParameters,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::template::Template;
use super::webhook::Secret;
use super::{Parcel, Sink};
use crate::model::{Failure, FailureKind};

/// How long a relay may take for a mail: it may look into it before it answers.
const MAIL_WITHIN: Duration = Duration::from_mins(1);

/// How long its answer to the farewell is waited for.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// What the file says of mail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    host: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    tls: TlsMode,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<Secret>,
    from: String,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    link: Option<String>,
}

/// How the connection is made secure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TlsMode {
    /// From its beginning.
    #[default]
    Implicit,
    /// By STARTTLS, or there is none.
    Starttls,
    /// Not at all.
    None,
}

/// A server that takes mail.
pub(super) struct Smtp {
    relay: (String, u16),
    tls: Tls,
    name: ClientId,
    login: Option<Credentials>,
    from: Mailbox,
    to: Template,
    link: Option<Template>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp")
            .field("from", &self.from.email)
            .finish_non_exhaustive()
    }
}

impl Smtp {
    pub(super) fn new(settings: Settings, roots: Option<&Path>) -> Result<Self, String> {
        let from: Result<Mailbox, _> = settings.from.parse();
        let from = from.or(Err("from is no address such as Chat <chat@example.com>"))?;
        let to = settings.to.unwrap_or_else(|| "{recipientId}".to_owned());
        let (tls, usual) = match settings.tls {
            TlsMode::Implicit => (Tls::Wrapper(parameters(&settings.host, roots)?), 465),
            TlsMode::Starttls => (Tls::Required(parameters(&settings.host, roots)?), 587),
            TlsMode::None => (Tls::None, 25),
        };
        let name = ClientId::Domain(from.email.domain().to_owned());
        let login = match (settings.user, settings.password) {
            (None, None) => None,
            (Some(_), Some(_)) if settings.tls == TlsMode::None => {
                return Err("a password is not sent without TLS".to_owned());
            }
            (Some(user), Some(password)) => {
                let password = password.0.expose_secret().to_owned();
                Some(Credentials::new(user, password))
            }
            _ => return Err("a user and a password are given together".to_owned()),
        };
        Ok(Self {
            relay: (settings.host, settings.port.unwrap_or(usual)),
            tls,
            name,
            login,
            from,
            to: Template::new(to)?,
            link: settings.link.map(Template::new).transpose()?,
        })
    }

    /// A connection that is secure and logged in as the file says.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let (host, port) = &self.relay;
        let at_once = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            Tls::None | Tls::Opportunistic(_) | Tls::Required(_) => None,
        };
        let relay = (host.as_str(), *port);
        // The caller bounds the time.
        let connect = AsyncSmtpConnection::connect_tokio1(relay, None, &self.name, at_once, None);
        let mut connection = connect.await?;
        if let Tls::Required(parameters) = &self.tls {
            connection.starttls(parameters.clone(), &self.name).await?;
        }
        if let Some(login) = &self.login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }

    async fn deliver(&self, mail: &Message) -> Result<AsyncSmtpConnection, Error> {
        let mut connection = self.connect().await?;
        let sent = connection.send(mail.envelope(), &mail.formatted()).await;
        sent.map(|_| connection)
    }

    /// The parcel as a mail; none where it is for nobody who has an address.
    fn mail(&self, parcel: &Parcel, now: DateTime<Utc>) -> Option<Message> {
        let to: Address = self.to.fill(parcel, str::to_owned)?.parse().ok()?;
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let link = self.link.as_ref();
        let link = link.and_then(|link| link.fill(parcel, encode));
        let said = Said::of(&parcel.data);
        let id = format!("<{}@{}>", parcel.id, self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(to.into())
            .subject(said.subject())
            .message_id(Some(id))
            .date(SystemTime::from(now))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(said.text(link.as_deref()))
            .ok()
    }
}

fn parameters(host: &str, roots: Option<&Path>) -> Result<TlsParameters, String> {
    let failed = |why: &dyn fmt::Display| format!("TLS cannot be used: {why}");
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(roots) = roots {
        let pem = fs::read(roots).map_err(|error| failed(&error))?;
        let roots = Certificate::from_pem(&pem).map_err(|error| failed(&error))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(roots);
    }
    builder.build().map_err(|error| failed(&error))
}

impl Sink for Smtp {
    fn send<'a>(
        &'a self,
        parcel: &'a Parcel,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let mail = self.mail(parcel, now).ok_or(FailureKind::NotSent)?;
            let delivered = timeout(MAIL_WITHIN, Box::pin(self.deliver(&mail))).await;
            let delivered = delivered.or(Err(FailureKind::TimedOut))?;
            let mut connection = delivered.map_err(|error| failure(&error))?;
            // The relay has the mail, whatever it says to the farewell.
            timeout(FAREWELL_WITHIN, connection.abort()).await.ok();
            Ok(())
        }
        .boxed()
    }

    fn within(&self) -> Option<Duration> {
        // More than both, so that what the relay has is never taken for what it has not.
        Some(MAIL_WITHIN + FAREWELL_WITHIN * 2)
    }
}

/// What an error of the transport means.
fn failure(error: &Error) -> Failure {
    let status = error.status().map(u16::from);
    // What is wrong with the log-in is wrong for every mail, until somebody mends it.
    let is_of_login = matches!(status, Some(530 | 534 | 535 | 538));
    let kind = if is_of_login {
        FailureKind::RefusedForNow
    } else if error.is_permanent() {
        FailureKind::RefusedForGood
    } else if error.is_transient() {
        FailureKind::RefusedForNow
    } else if error.is_tls() || is_of_tls(error) {
        FailureKind::Tls
    } else if error.is_timeout() {
        FailureKind::TimedOut
    } else if error.is_client() || error.is_response() {
        FailureKind::BrokenOff
    } else {
        FailureKind::Unreachable
    };
    Failure {
        kind,
        status: status.and_then(|status| i16::try_from(status).ok()),
        retry_after: None,
    }
}

/// Whether rustls is at the root of an error of the connection.
fn is_of_tls(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(this) = cause {
        let inner = this.downcast_ref::<io::Error>();
        let inner = inner.and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if inner.or(this.downcast_ref()).is_some() {
            return true;
        }
        cause = this.source();
    }
    false
}

/// Says that no person wrote the mail (RFC 3834), so that no machine answers it.
#[derive(Debug, Clone, Copy)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// What a notification says.
struct Said<'a> {
    sender: String,
    title: Option<String>,
    body: &'a str,
    /// What the files are called that came with it.
    files: Vec<String>,
    count: i64,
    mentioned: bool,
    critical: bool,
}

impl<'a> Said<'a> {
    fn of(data: &'a Value) -> Self {
        let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str);
        let is = |pointer: &str| data.pointer(pointer).and_then(Value::as_bool) == Some(true);
        let files = data.pointer("/lastMessage/attachments");
        let files = files.and_then(Value::as_array).into_iter().flatten();
        let names = files.filter_map(|file| file.get("name").and_then(Value::as_str));
        Self {
            sender: text("/sender/displayName").map_or_else(|| "Somebody".to_owned(), one_line),
            title: text("/chat/title").map(one_line),
            body: text("/lastMessage/body").unwrap_or_default(),
            files: names.map(one_line).collect(),
            count: data.pointer("/count").and_then(Value::as_i64).unwrap_or(1),
            mentioned: is("/mentioned"),
            critical: is("/critical"),
        }
    }

    fn subject(&self) -> String {
        let urgent = if self.critical { "Urgent: " } else { "" };
        let sender = &self.sender;
        match (&self.title, self.mentioned) {
            (Some(title), true) => format!("{urgent}{sender} mentioned you in {title}"),
            (Some(title), false) => format!("{urgent}{sender} in {title}"),
            (None, _) => format!("{urgent}{sender}"),
        }
    }

    fn text(&self, link: Option<&str>) -> String {
        let mut parts = vec![format!("{}:\n", self.sender)];
        if !self.body.trim().is_empty() {
            parts.push(format!("{}\n", self.body));
        }
        parts.extend(self.files.iter().map(|name| format!("[{name}]\n")));
        if self.count > 1 {
            parts.push(format!("{} messages are unread.\n", self.count));
        }
        parts.extend(link.map(|link| format!("{link}\n")));
        parts.join("\n")
    }
}

/// A text as a part of a header: a line without control characters.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
