//! The command line and the environment.
//!
//! Every flag has a variable of the same meaning, listed in `.env.example`; a flag wins over its variable.
//! Secrets are secret types: they are shown neither in help nor in logs.

mod attachments;
mod documents;
mod http;
mod identity;
mod imports;
mod init;
mod limits;
mod mcp;
mod permissions;
mod queries;
mod realtime;
mod sinks;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::attachments::{AttachmentArgs, AttachmentArgsError, AttachmentDefaults, StoreArg};
pub use self::documents::{DocumentArgs, DocumentArgsError, TrustedMode};
pub use self::http::{HttpArgs, HttpArgsError};
pub use self::identity::{ClaimArgs, ClaimsKind, IdentityArgs, IdentityError, SecretArgs};
pub use self::imports::{ImportArgsError, ImportCommand, SourceloopArgs};
pub use self::init::InitArgs;
pub use self::limits::LimitArgs;
pub use self::mcp::McpArgs;
pub use self::permissions::{CoarseArg, PermissionArgs};
pub use self::queries::QueryArgs;
pub use self::realtime::{CarrierArg, RealtimeArgs};
pub use self::sinks::SinkArgs;
use crate::app::Limits;
use crate::http::SocketOptions;
use crate::store::{PoolOptions, RoleName};

/// A GraphQL chat server beside one Postgres.
///
/// Without a command it serves. Without `DATABASE_URL` it brings its own Postgres, for development: it finds
/// the installed binaries, keeps its data in the data folder, and prints tokens for two sample users.
#[derive(Debug, Parser)]
#[command(name = "colloquy", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; to serve, where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default).
    Serve(Box<ServeArgs>),
    /// Bring the database's tables up to date, and exit.
    Migrate(DatabaseArgs),
    /// Show or change the epoch of the database's logs, and exit: after a restore, old cursors must expire.
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Move in from another chat service, and exit.
    #[command(subcommand)]
    Import(Box<ImportCommand>),
    /// Print the GraphQL schema, and exit.
    Schema,
    /// Print a token for a user, and exit: for development and for scripts.
    Token(TokenArgs),
    /// Serve an agent as a user, by the Model Context Protocol over standard input and output, and exit when it leaves.
    Mcp(McpArgs),
    /// Write a deployable instance into a folder that is empty or not there yet, and exit: a compose file with Postgres
    /// and two servers, settings, new secrets, and a client.
    Init(InitArgs),
}

/// What to do about the epoch.
#[derive(Debug, Subcommand)]
pub enum EpochCommand {
    /// Print the epoch.
    Show(DatabaseArgs),
    /// Begin a new epoch: every cursor that clients hold expires, and they load their chats anew. Prints the
    /// old epoch and the new one.
    Bump(DatabaseArgs),
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The database, `postgres://user:password@host/name?sslmode=verify-full`. Without it, Colloquy runs a
    /// private Postgres of its own. `pool_mode=transaction` says that the address is that of a proxy which
    /// pools transactions, such as `PgBouncer`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,
    /// The folder of the private Postgres, of the development secret and its attachments. By default /var/lib/colloquy for
    /// root, and colloquy in the user's folder for data, such as ~/.local/share, for everybody else.
    #[arg(long, env = "COLLOQUY_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The folder of Postgres' binaries, where they are not found by themselves.
    #[arg(long, env = "COLLOQUY_POSTGRES_BIN", value_name = "FOLDER")]
    pub postgres_bin: Option<PathBuf>,
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The address to listen on. Port 0 takes a free one.
    #[arg(
        long,
        env = "COLLOQUY_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: String,
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Where servers tell each other what has changed.
    #[command(flatten)]
    pub realtime: RealtimeArgs,
    /// Which tokens are accepted.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Bring the database's tables up to date first. The private Postgres always is.
    #[arg(long, env = "COLLOQUY_MIGRATE", value_parser = FalseyValueParser::new())]
    pub migrate: bool,
    /// Fill a few sample chats in for alice, bob and carol, if alice has no chats.
    #[arg(long, env = "COLLOQUY_DEMO", value_parser = FalseyValueParser::new())]
    pub demo: bool,
    /// How HTTP is spoken.
    #[command(flatten)]
    pub http: HttpArgs,
    /// The most participants a group may have.
    #[arg(
        long,
        env = "COLLOQUY_PARTICIPANTS_MAX",
        default_value_t = 10_000,
        value_name = "COUNT"
    )]
    pub participants_max: u32,
    /// For how long after it was sent a message may be edited. Without it, for ever.
    #[arg(long, env = "COLLOQUY_EDIT_WINDOW", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub edit_window: Option<Duration>,
    /// For how long it is kept when marks moved. Who has read what is kept for ever.
    #[arg(long, env = "COLLOQUY_RECEIPT_RETENTION", value_parser = humantime::parse_duration, default_value = "90d", value_name = "TIME")]
    pub receipt_retention: Duration,
    /// The most connections to the database; two more listen and ring.
    #[arg(long, env = "COLLOQUY_POOL_SIZE", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub pool_size: u16,
    /// A role of Postgres that reads and writes what is about one tenant, which row level security keeps to it. The
    /// server takes it by itself; without one, only Colloquy's own statements keep tenants apart.
    #[arg(long, env = "COLLOQUY_ROW_SECURITY_ROLE", value_name = "ROLE")]
    pub row_security_role: Option<RoleName>,
    /// How long a request waits for a connection before it is turned away.
    #[arg(long, env = "COLLOQUY_POOL_WAIT", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub pool_wait: Duration,
    /// How long connecting to the database may take.
    #[arg(long, env = "COLLOQUY_CONNECT_TIMEOUT", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub connect_timeout: Duration,
    /// How long one statement may take before the database ends it.
    #[arg(long, env = "COLLOQUY_STATEMENT_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub statement_timeout: Duration,
    /// What tokens permit.
    #[command(flatten)]
    pub permissions: PermissionArgs,
    /// Where attachments are kept, and what is taken.
    #[command(flatten)]
    pub attachments: AttachmentArgs,
    /// The bounds of connections.
    #[command(flatten)]
    pub sockets: SocketArgs,
    /// How often anybody may ask.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How much one operation may ask for.
    #[command(flatten)]
    pub queries: QueryArgs,
    /// Where events and notifications are delivered to.
    #[command(flatten)]
    pub sinks: SinkArgs,
    /// How the log looks.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The bounds of connections: WebSockets, and streams over HTTP.
#[derive(Debug, Clone, Args)]
pub struct SocketArgs {
    /// The most operations at a time on one WebSocket.
    #[arg(long, env = "COLLOQUY_OPERATIONS_MAX", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub operations_max: u16,
    /// The most connections of one user to this server: WebSockets, and streams over HTTP.
    #[arg(long, env = "COLLOQUY_CONNECTIONS_MAX", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub connections_max: u16,
    /// The most bytes of a WebSocket message.
    #[arg(long, env = "COLLOQUY_MESSAGE_MAX", default_value_t = 1024 * 1024, value_parser = clap::value_parser!(u32).range(1024..), value_name = "BYTES")]
    pub message_max: u32,
    /// After how long a silence of the peer a WebSocket is pinged; at least 1s.
    #[arg(long, env = "COLLOQUY_PING_AFTER", default_value = "15s", value_parser = peer_time, value_name = "TIME")]
    pub ping_after: Duration,
    /// How long the peer may take to answer a ping before it counts as gone; at least 1s.
    #[arg(long, env = "COLLOQUY_PONG_WITHIN", default_value = "10s", value_parser = peer_time, value_name = "TIME")]
    pub pong_within: Duration,
    /// How long a peer may take to take what is written to it, before it is disconnected; at least 1s.
    #[arg(long, env = "COLLOQUY_WRITE_TIMEOUT", default_value = "10s", value_parser = peer_time, value_name = "TIME")]
    pub write_timeout: Duration,
    /// How long queries and mutations may take to end when the server stops.
    #[arg(long, env = "COLLOQUY_DRAIN", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub drain: Duration,
}

/// The shortest time that a peer is given for anything: a shorter one would cut off those who are far away.
const PEER_TIME_MIN: Duration = Duration::from_secs(1);

/// A time that a peer is given.
fn peer_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < PEER_TIME_MIN {
        return Err("it is at least 1s".to_owned());
    }
    Ok(time)
}

/// How the log looks.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What to log, such as `info` or `colloquy=debug,info`.
    #[arg(
        long,
        env = "COLLOQUY_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// For people or for machines; by default for people on a terminal, and for machines otherwise.
    #[arg(long, env = "COLLOQUY_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Whom a token is for.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The user's id: the token's subject.
    #[arg(long, value_name = "ID")]
    pub user: String,
    /// The user's tenant; the default one where it is not given.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// The user's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The address of the user's picture.
    #[arg(long, value_name = "URL")]
    pub picture: Option<String>,
    /// A permission that the token gives, such as `colloquy:admin`. It may be given several times.
    #[arg(long = "permission", value_name = "NAME")]
    pub permissions: Vec<String>,
    /// How long the token is valid, such as 90s, 30m, 1h or 7d.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub expires_in: Duration,
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The secret.
    #[command(flatten)]
    pub secret: SecretArgs,
}

impl DatabaseArgs {
    /// The database's address, if one is given. A variable that is set to nothing counts as absent.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        let url = self.database_url.as_ref()?.expose_secret();
        (!url.is_empty()).then_some(url)
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        let given = self.data_dir.clone();
        given.unwrap_or_else(crate::embedded::default_data_dir)
    }
}

impl ServeArgs {
    /// The size and times of the connection pool.
    #[must_use]
    pub fn pool(&self) -> PoolOptions {
        PoolOptions {
            size: usize::from(self.pool_size),
            wait: self.pool_wait,
            queue: self.limits.queue(),
            standing: Duration::from_secs(1),
            connect: self.connect_timeout,
            statement: self.statement_timeout,
        }
    }

    /// The limits of the application.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            participants_max: self.participants_max,
            edit_window: self.edit_window,
            receipt_retention: self.receipt_retention,
            rates: self.limits.rates(),
        }
    }
}

impl SocketArgs {
    /// Times and bounds of the connections.
    #[must_use]
    pub fn options(&self) -> SocketOptions {
        SocketOptions {
            operations_max: self.operations_max.into(),
            connections_max: self.connections_max.into(),
            message_max: usize::try_from(self.message_max).unwrap_or(usize::MAX),
            ping_after: self.ping_after,
            pong_within: self.pong_within,
            write_within: self.write_timeout,
            drain_within: self.drain,
            ..SocketOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_peer_gets_a_second_at_least() {
        for flag in ["--ping-after", "--pong-within", "--write-timeout"] {
            for (time, fits) in [("0s", false), ("999ms", false), ("1s", true)] {
                let parsed = Cli::try_parse_from(["colloquy", "serve", flag, time]);
                assert_eq!(parsed.is_ok(), fits, "{flag} {time}");
            }
        }
    }

    /// Every variable is explained in `.env.example`, and nothing else is; and it has a row in the README, with its flag.
    #[test]
    fn the_example_environment_lists_every_variable() {
        let text = include_str!("../.env.example");
        let readme = include_str!("../README.md");
        let listed = |name: &str| {
            text.lines()
                .any(|line| line.starts_with(&format!("# {name}=")))
        };
        let command = Cli::command();
        let mut names = Vec::new();
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env() else {
                continue;
            };
            let name = name.to_str().unwrap().to_owned();
            assert!(listed(&name), "{name} is not in .env.example");
            let row = format!("| `--{}` | `{name}` | ", argument.get_long().unwrap_or(""));
            assert!(readme.contains(&row), "{row} is not in README.md");
            names.push(name);
        }
        let variables = text
            .lines()
            .filter_map(|line| line.strip_prefix("# ")?.split_once('='));
        for (name, _) in variables.filter(|(name, _)| !name.contains(' ')) {
            assert!(
                names.iter().any(|known| known == name),
                "{name} is no variable"
            );
        }
    }

    #[test]
    fn the_sweep_alone_is_quicker_and_never_idle() {
        let options = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["colloquy"], arguments].concat());
            cli.map(|cli| cli.serve.realtime.options().sweep)
        };
        let millis = Duration::from_millis;
        assert_eq!(options(&[]).unwrap(), millis(1500));
        assert_eq!(options(&["--realtime", "sweep"]).unwrap(), millis(250));
        assert_eq!(options(&["--realtime-sweep", "2s"]).unwrap(), millis(2000));
        assert!(options(&["--realtime-sweep", "0s"]).is_err());
        assert!(options(&["--realtime-ring", "0"]).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let cli = Cli::parse_from([
            "colloquy",
            "--jwt-secret",
            "hunter2",
            "--attachments-key",
            "hunter2",
            "--database-url",
            "postgres://u:hunter2@h/d",
            "--listen-database-url",
            "postgres://u:hunter2@h/d",
        ]);
        assert!(!format!("{cli:?}").contains("hunter2"));
        let arguments = ["import", "sourceloop", "--from", "postgres://u:hunter2@h/d"];
        let cli = Cli::parse_from([&["colloquy"][..], &arguments].concat());
        assert!(!format!("{cli:?}").contains("hunter2"));
    }
}
