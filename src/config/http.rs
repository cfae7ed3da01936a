//! The settings of HTTP: TLS, bounds and times of connections, who may call from browsers, and what is offered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use clap::Args;

use super::{DocumentArgs, DocumentArgsError, Switch, peer_time};
use crate::http::{CertificateError, Certificates, HttpOptions, Origins, SocketOptions};

/// How HTTP is spoken.
#[derive(Debug, Clone, Args)]
pub struct HttpArgs {
    /// The certificate to serve, with its chain, in PEM. With it and its key, the server speaks TLS and nothing
    /// else. Both files are read again on SIGHUP, and when they change.
    #[arg(long, env = "COLLOQUY_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, env = "COLLOQUY_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// For how long browsers shall insist on TLS once they have had it from this server, such as 365d. By
    /// default nothing is said of it. Needs a certificate.
    #[arg(long, env = "COLLOQUY_HSTS", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub hsts: Option<Duration>,
    /// A browser origin that may use the API, such as `http://localhost:5173`; `*` for any. It holds for
    /// requests and for WebSockets. Repeat it, or separate with commas. None by default but the server's own.
    #[arg(
        long,
        env = "COLLOQUY_CORS_ORIGIN",
        value_delimiter = ',',
        value_parser = Origins::parse,
        value_name = "ORIGIN"
    )]
    pub cors_origin: Vec<HeaderValue>,
    /// Whether agents are served at `/mcp`, by the Model Context Protocol over HTTP, each as the user of its token.
    #[arg(
        long,
        env = "COLLOQUY_MCP",
        default_value = "on",
        value_name = "SWITCH"
    )]
    pub mcp: Switch,
    /// Whether clients of Socket.IO are served at `/socket.io/`, over WebSockets.
    #[arg(
        long,
        env = "COLLOQUY_SOCKETIO",
        default_value = "on",
        value_name = "SWITCH"
    )]
    pub socketio: Switch,
    /// Whether the GraphiQL page is served at `/`. By default it is in a development run, and is not with a
    /// `DATABASE_URL`.
    #[arg(long, env = "COLLOQUY_GRAPHIQL", value_name = "SWITCH")]
    pub graphiql: Option<Switch>,
    /// The address to serve Prometheus' `/metrics` on, apart from the API and in the clear. To be reached from
    /// inside only. By default there is none.
    #[arg(long, env = "COLLOQUY_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// Whether `/metrics` is served beside the API too, to whoever can reach it. By default it is in a development
    /// run without an address for metrics, and is not otherwise.
    #[arg(long, env = "COLLOQUY_METRICS", value_name = "SWITCH")]
    pub metrics: Option<Switch>,
    /// Whether answers are compressed for clients that ask for it.
    #[arg(
        long,
        env = "COLLOQUY_COMPRESSION",
        default_value = "on",
        value_name = "SWITCH"
    )]
    pub compression: Switch,
    /// From how many bytes on answers are compressed.
    #[arg(
        long,
        env = "COLLOQUY_COMPRESSION_MIN",
        default_value_t = 1024,
        value_name = "BYTES"
    )]
    pub compression_min: u16,
    /// The most connections to this server at a time, of all users and of nobody. More are turned away.
    #[arg(long, env = "COLLOQUY_OPEN_MAX", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "COUNT")]
    pub open_max: u32,
    /// The most bytes of a request's body; at least 1024.
    #[arg(long, env = "COLLOQUY_BODY_MAX", default_value_t = 1024 * 1024, value_parser = clap::value_parser!(u32).range(1024..), value_name = "BYTES")]
    pub body_max: u32,
    /// How long the body of a request may take to come; at least 1s.
    #[arg(long, env = "COLLOQUY_BODY_TIMEOUT", default_value = "10s", value_parser = peer_time, value_name = "TIME")]
    pub body_timeout: Duration,
    /// How long the head of a request may take to come, and a new connection to send its first; at least 1s.
    #[arg(long, env = "COLLOQUY_HEAD_TIMEOUT", default_value = "10s", value_parser = peer_time, value_name = "TIME")]
    pub head_timeout: Duration,
    /// How long a connection may rest between two requests; at least 1s. Longer than a proxy in front keeps it.
    #[arg(long, env = "COLLOQUY_IDLE_TIMEOUT", default_value = "75s", value_parser = peer_time, value_name = "TIME")]
    pub idle_timeout: Duration,
    /// Which documents may run, and how clients name them.
    #[command(flatten)]
    pub documents: DocumentArgs,
}

/// Why HTTP cannot be spoken as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum HttpArgsError {
    /// The key is missing.
    #[error("a certificate needs its key: set COLLOQUY_TLS_KEY (--tls-key) too")]
    NoKey,
    /// The certificate is missing.
    #[error("a key needs its certificate: set COLLOQUY_TLS_CERT (--tls-cert) too")]
    NoCertificate,
    /// Browsers would lock themselves out.
    #[error("COLLOQUY_HSTS (--hsts) needs a certificate: it is for a server that speaks TLS")]
    HstsWithoutTls,
    /// The certificate cannot be served.
    #[error("the certificate cannot be served")]
    Certificate(#[source] CertificateError),
    /// The documents cannot be had as they are wanted.
    #[error(transparent)]
    Documents(#[from] DocumentArgsError),
}

impl HttpArgs {
    /// What the server offers. `development` says that it runs without a `DATABASE_URL`. Reads the
    /// certificate and the trusted documents.
    ///
    /// # Errors
    ///
    /// Where the settings do not go together, the certificate cannot be served, or the trusted documents are no good.
    pub fn options(&self, development: bool) -> Result<HttpOptions, HttpArgsError> {
        let certificates = match (&self.tls_cert, &self.tls_key) {
            (None, None) if self.hsts.is_some() => return Err(HttpArgsError::HstsWithoutTls),
            (None, None) => None,
            (Some(_), None) => return Err(HttpArgsError::NoKey),
            (None, Some(_)) => return Err(HttpArgsError::NoCertificate),
            (Some(certificate), Some(key)) => {
                let read = Certificates::read(certificate.clone(), key.clone());
                Some(Arc::new(read.map_err(HttpArgsError::Certificate)?))
            }
        };
        let graphiql = self.graphiql.map(|switch| switch == Switch::On);
        let metrics = self.metrics.map(|switch| switch == Switch::On);
        let apart = self.metrics_listen.is_some();
        Ok(HttpOptions {
            certificates,
            open_max: usize::try_from(self.open_max).unwrap_or(usize::MAX),
            head_within: self.head_timeout,
            idle_within: self.idle_timeout,
            body_max: usize::try_from(self.body_max).unwrap_or(usize::MAX),
            origins: Origins::new(self.cors_origin.iter().cloned()),
            mcp: self.mcp == Switch::On,
            socketio: self.socketio == Switch::On,
            graphiql: graphiql.unwrap_or(development),
            metrics: metrics.unwrap_or(development && !apart),
            compress_from: (self.compression == Switch::On).then_some(self.compression_min),
            hsts: self.hsts,
            batch_max: self.documents.batch(),
            documents: self.documents.documents(development)?,
            ..HttpOptions::default()
        })
    }

    /// The bounds of connections, with those that are set here.
    #[must_use]
    pub fn sockets(&self, sockets: SocketOptions) -> SocketOptions {
        SocketOptions {
            body_within: self.body_timeout,
            ..sockets
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    fn options(arguments: &[&str], development: bool) -> Result<HttpOptions, String> {
        let cli = Cli::try_parse_from([&["colloquy"], arguments].concat());
        let http = cli.map_err(|error| error.to_string())?.serve.http;
        http.options(development).map_err(|error| error.to_string())
    }

    #[test]
    fn graphiql_is_for_development_unless_it_is_asked_for() {
        for (arguments, development, served) in [
            (&[][..], true, true),
            (&[], false, false),
            (&["--graphiql", "on"], false, true),
            (&["--graphiql", "off"], true, false),
        ] {
            assert_eq!(options(arguments, development).unwrap().graphiql, served);
        }
    }

    #[test]
    fn metrics_are_beside_the_api_where_nobody_is_surprised_by_that() {
        let apart = ["--metrics-listen", "127.0.0.1:9090"];
        for (arguments, development, served) in [
            (&[][..], true, true),
            (&[], false, false),
            (&apart, true, false),
            (&apart, false, false),
            (&["--metrics", "on"], false, true),
            (&["--metrics", "off"], true, false),
        ] {
            assert_eq!(options(arguments, development).unwrap().metrics, served);
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        for arguments in [
            &["--tls-cert", "cert.pem"][..],
            &["--tls-key", "key.pem"],
            &["--hsts", "365d"],
            &[
                "--tls-cert",
                "/nowhere/cert.pem",
                "--tls-key",
                "/nowhere/key.pem",
            ],
            &["--cors-origin", "https://chat.example.org/app"],
            &["--cors-origin", "chat.example.org"],
            &["--head-timeout", "10ms"],
            &["--body-max", "10"],
            &["--open-max", "0"],
        ] {
            options(arguments, true).expect_err(&arguments.join(" "));
        }
    }

    #[test]
    fn compression_can_be_switched_off() {
        assert_eq!(options(&[], true).unwrap().compress_from, Some(1024));
        let off = options(&["--compression", "off"], true);
        assert_eq!(off.unwrap().compress_from, None);
    }
}
