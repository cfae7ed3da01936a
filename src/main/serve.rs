//! `colloquy serve`: the wiring.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use colloquy::app::{App, Attachments, KeySource, Refresher, Tokens};
use colloquy::config::{RealtimeArgs, ServeArgs};
use colloquy::embedded::Postgres;
use colloquy::http::{self, Connections, HttpOptions, HttpParts, HttpState, Metrics};
use colloquy::realtime::{Carrier, Realtime, RealtimeOptions};
use colloquy::sinks::Sinks;
use colloquy::store::{Database, Pool, PoolMode, row_security};
use colloquy::{development, graphql, telemetry};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{connect, open, prepare};

/// The fewest bytes of a secret that HS256 is safe with (RFC 7518, section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// How long the engine may take to ring for what was written last.
const RING_WITHIN: Duration = Duration::from_secs(10);

/// How long connections may take to close once their operations have ended.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// Serves until a signal comes.
pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    telemetry::start(&args.log).context("the log filter cannot be read")?;
    let tokens = tokens(&args)?;
    let sinks = args.sinks.sinks()?;
    let http = HttpOptions {
        operation_within: args.queries.operation_timeout,
        ..args.http.options(args.database.url().is_none())?
    };
    let listener = http::listen(&args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let metrics = metrics_listener(&args).await?;
    let (mut postgres, database) = open(&args.database).await?;
    let served = async {
        let listen = listen_database(&args.realtime, &database)?;
        prepare(&database, args.migrate || postgres.is_some()).await?;
        let role = args.row_security_role.as_ref();
        row_security::prepare(&mut connect(&database).await?, role).await?;
        let databases = (&database, &listen);
        let http = ((listener, metrics), http);
        serve_on(&args, http, databases, (tokens, sinks), postgres.as_mut()).await
    };
    let served = served.await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    served
}

/// Listens for who asks for metrics, where they have an address of their own.
async fn metrics_listener(args: &ServeArgs) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = &args.http.metrics_listen else {
        return Ok(None);
    };
    let listener = http::listen(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address} for metrics"))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "serving metrics");
    Ok(Some(listener))
}

/// What reads tokens. In development it is the secret of the data folder, where nothing else is said.
fn tokens(args: &ServeArgs) -> anyhow::Result<(Tokens, Option<Refresher>)> {
    let source = match args.identity.source()? {
        Some(source) => source,
        None if args.database.url().is_some() => bail!(
            "with a DATABASE_URL, say what tokens are checked with: set COLLOQUY_JWT_SECRET, \
             COLLOQUY_JWKS_URL, COLLOQUY_JWKS_FILE or COLLOQUY_JWT_PUBLIC_KEY"
        ),
        None => KeySource::Secret(development::secret(&args.database.data_dir())?),
    };
    if let KeySource::Secret(secret) = &source
        && secret.expose_secret().len() < SECRET_MIN_BYTES
    {
        tracing::warn!("the secret that tokens are signed with has fewer than 32 bytes");
    }
    Ok(args.identity.tokens(source)?)
}

/// The address at which the server listens and notifies.
fn listen_database(args: &RealtimeArgs, database: &Database) -> anyhow::Result<Database> {
    let listen = match args.listen_url() {
        Some(url) => Database::new(url).context("LISTEN_DATABASE_URL")?,
        None => database.clone(),
    };
    if args.options().carrier == Carrier::Notify && listen.mode() == PoolMode::Transaction {
        bail!(
            "nothing can be listened to through a proxy that pools transactions: set \
             LISTEN_DATABASE_URL to an address that keeps sessions, or COLLOQUY_REALTIME=sweep"
        );
    }
    Ok(listen)
}

async fn serve_on(
    args: &ServeArgs,
    ((listener, metrics_listener), http): ((TcpListener, Option<TcpListener>), HttpOptions),
    (database, listen): (&Database, &Database),
    ((tokens, refresher), sinks): ((Tokens, Option<Refresher>), Option<Sinks>),
    postgres: Option<&mut Postgres>,
) -> anyhow::Result<()> {
    let secure = http.certificates.is_some();
    let pool = database.pool(args.pool())?;
    let pool = pool.confined_as(args.row_security_role.clone());
    let tasks = Tasks::default();
    let realtime = tasks.realtime(args.realtime.options(), listen, &pool);
    tasks.refresh(refresher);
    let address = listener.local_addr()?;
    let protocol = if secure { "https" } else { "http" };
    let origin = format!("{protocol}://{address}");
    let app = App::new(pool, realtime, tokens, args.limits())
        .with_permissions(args.permissions.permissions())
        .with_attachments(attachments(args, &origin)?);
    let app = Arc::new(match &sinks {
        Some(sinks) => app.with_sinks(sinks.clone(), args.sinks.options()),
        None => app,
    });
    tasks.tend(&app, sinks.is_some()).await?;
    if args.demo {
        development::fill_demo(&app).await?;
    }
    let (schema, connections) = (
        graphql::schema(args.queries.schema(args.database.url().is_none())),
        Connections::default(),
    );
    let state = HttpState::from(HttpParts {
        app: Arc::clone(&app),
        metrics: Arc::new(Metrics::new(&app, &schema, &connections)),
        schema,
        shutdown: tasks.stop_serving.clone(),
        options: Arc::new(args.limits.bound(args.http.sockets(args.sockets.options()))),
        http: Arc::new(http),
        connections,
        trusted_proxies: args.limits.trusted_proxies(),
        tasks: tasks.sockets.clone(),
    });
    let router = http::router(&state);
    if let Some(listener) = metrics_listener {
        let metrics = http::serve_metrics(listener, state.clone());
        tasks.sockets.spawn(metrics);
    }
    tasks.sockets.spawn(http::serve(listener, router, state));
    tracing::info!(%address, "serving");
    if postgres.is_some() {
        development::greet(&app, &origin, args.database.data_dir.as_deref())?;
    }
    let ended = until_ended(postgres).await;
    tasks.stop(args.sockets.drain).await;
    ended
}

/// Where attachments are kept. In development it is a folder of the data folder, where nothing else is said.
fn attachments(args: &ServeArgs, origin: &str) -> anyhow::Result<Option<Attachments>> {
    let defaults = match args.database.url() {
        Some(_) => None,
        None => Some(development::attachments(
            &args.database.data_dir(),
            origin.to_owned(),
        )?),
    };
    Ok(args.attachments.attachments(defaults)?)
}

/// Waits for a signal to stop, or for the private Postgres to end by itself.
async fn until_ended(postgres: Option<&mut Postgres>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let died = async {
        match postgres {
            Some(postgres) => postgres.exited().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        error = died => return Err(error.into()),
    }
    tracing::info!("stopping");
    Ok(())
}

/// The tasks of a serving process, and what stops them, in two steps: first the requests and sockets, then
/// the engine behind them, which rings for what they wrote last.
#[derive(Default)]
struct Tasks {
    stop_serving: CancellationToken,
    sockets: TaskTracker,
    stop_engine: CancellationToken,
    engine: TaskTracker,
}

impl Tasks {
    fn realtime(&self, options: RealtimeOptions, listen: &Database, pool: &Pool) -> Realtime {
        Realtime::start(
            options,
            pool.clone(),
            listen,
            listen,
            &self.engine,
            self.stop_engine.clone(),
        )
    }

    /// Keeps the keys that tokens are checked with up to date.
    fn refresh(&self, refresher: Option<Refresher>) {
        if let Some(refresher) = refresher {
            self.engine.spawn(refresher.run(self.stop_engine.clone()));
        }
    }

    /// Tends what the application keeps, and delivers to its sinks, where it has been told of any.
    async fn tend(&self, app: &Arc<App>, deliver: bool) -> anyhow::Result<()> {
        let tended = Arc::clone(app);
        let stop = self.stop_engine.clone();
        self.engine
            .spawn(async move { tended.rates.tend(stop).await });
        let (tended, stop) = (Arc::clone(app), self.stop_engine.clone());
        self.engine
            .spawn(async move { tended.receipts_tend(stop).await });
        let (tended, stop) = (Arc::clone(app), self.stop_engine.clone());
        self.engine
            .spawn(async move { tended.attachments_tend(stop).await });
        if deliver {
            let deliveries = app.deliveries.clone();
            let registered = deliveries.register().await;
            registered.context("the sinks cannot be registered")?;
            self.engine.spawn(deliveries.run(self.stop_engine.clone()));
        } else {
            let sinks = app.deliveries.registered().await;
            let sinks = sinks.context("the sinks cannot be read")?;
            if sinks > 0 {
                tracing::warn!(
                    sinks,
                    "this server has no --sinks-file, and delivers nothing to the sinks there are"
                );
            }
        }
        Ok(())
    }

    async fn stop(&self, drain_within: Duration) {
        self.stop_serving.cancel();
        self.sockets.close();
        // The connections end what they do in that time, and say farewell behind it.
        let within = drain_within.saturating_add(FAREWELL_WITHIN);
        if timeout(within, self.sockets.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        self.stop_engine.cancel();
        self.engine.close();
        if timeout(RING_WITHIN, self.engine.wait()).await.is_err() {
            tracing::warn!("the realtime engine did not end in time");
        }
    }
}
