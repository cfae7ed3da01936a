//! A server in this process: the real router on a real socket, wired as `main` does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use colloquy::app::{
    App, AttachmentRules, Attachments, DeliveryOptions, Limits, Permissions, Tokens,
};
use colloquy::config::IdentityArgs;
use colloquy::graphql::{self, SchemaOptions};
use colloquy::http::{
    self, Connections, HttpOptions, HttpParts, HttpState, Metrics, Origins, SocketOptions,
};
use colloquy::realtime::{Realtime, RealtimeOptions};
use colloquy::sinks::Sinks;
use colloquy::store::{Connection, Database, PoolOptions, RoleName};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::user::User;
use super::{files, postgres, row_security};

/// The secret of all test servers.
pub(crate) const SECRET: &str = "a secret of thirty-two bytes, or more";

/// What a test may set.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) permissions: Permissions,
    pub(crate) pool: PoolOptions,
    /// As whom what is about one tenant is read and written.
    pub(crate) row_security_role: Option<RoleName>,
    pub(crate) realtime: RealtimeOptions,
    /// Where to listen and to ring, if not at the database's own address.
    pub(crate) listen: Option<Database>,
    pub(crate) origins: Vec<&'static str>,
    pub(crate) leeway: Duration,
    /// Where the keys of tokens come from, if not from the secret of all test servers.
    pub(crate) identity: Option<IdentityArgs>,
    pub(crate) sockets: SocketOptions,
    /// Its origins are those above.
    pub(crate) http: HttpOptions,
    pub(crate) schema: graphql::Schema,
    pub(crate) trusted_proxies: Vec<&'static str>,
    /// Makes the place of attachments, from where the server listens.
    pub(crate) attachments: Option<Arc<dyn Fn(SocketAddr) -> Attachments + Send + Sync>>,
    /// What the file of sinks has; without one, nothing is delivered.
    pub(crate) sinks: Option<Vec<Value>>,
    /// The certificates that sinks are checked with.
    pub(crate) sinks_roots: Option<PathBuf>,
    pub(crate) deliveries: DeliveryOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            // Tests ask as fast as they can.
            limits: Limits {
                rates: None,
                ..Limits::default()
            },
            permissions: Permissions::default(),
            pool: PoolOptions {
                size: 8,
                wait: Duration::from_secs(20),
                queue: 1024,
                // What a test asks at once may take a busy machine for seconds, and is no overload.
                standing: Duration::from_secs(20),
                connect: Duration::from_secs(5),
                statement: Duration::from_secs(20),
            },
            row_security_role: row_security::is_on().then(row_security::tenant_role),
            realtime: RealtimeOptions::default(),
            listen: None,
            origins: Vec::new(),
            leeway: Duration::from_secs(5),
            identity: None,
            sockets: SocketOptions::default(),
            http: HttpOptions::default(),
            schema: graphql::schema(SchemaOptions::default()),
            trusted_proxies: Vec::new(),
            attachments: files::in_folder(&postgres::files(), AttachmentRules::default()),
            sinks: None,
            sinks_roots: None,
            deliveries: DeliveryOptions::default(),
        }
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Where the metrics are served alone.
    pub(crate) metrics: SocketAddr,
    pub(crate) app: Arc<App>,
    pub(crate) database: Database,
    stop_serving: CancellationToken,
    stop_engine: CancellationToken,
    pub(crate) connections: Connections,
    pub(crate) sockets: TaskTracker,
    engine: TaskTracker,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_serving.cancel();
        self.stop_engine.cancel();
    }
}

impl Server {
    /// A server on a database of its own.
    pub(crate) async fn start() -> Self {
        Self::on(postgres::database().await).await
    }

    /// A server on a database that others may use too.
    pub(crate) async fn on(database: Database) -> Self {
        Self::with(database, Setup::default()).await
    }

    /// A server with settings.
    pub(crate) async fn with(database: Database, setup: Setup) -> Self {
        let (stop_serving, stop_engine) = (CancellationToken::new(), CancellationToken::new());
        let (sockets, engine) = (TaskTracker::new(), TaskTracker::new());
        let pool = database.pool(setup.pool).unwrap();
        let pool = pool.confined_as(setup.row_security_role);
        let listen = setup.listen.as_ref().unwrap_or(&database);
        let realtime = Realtime::start(
            setup.realtime,
            pool.clone(),
            listen,
            listen,
            &engine,
            stop_engine.clone(),
        );
        let tokens = match &setup.identity {
            None => Tokens::new(&SecretString::from(SECRET), setup.leeway),
            Some(identity) => {
                let source = identity.source().unwrap().unwrap();
                let (tokens, refresher) = identity.tokens(source).unwrap();
                if let Some(refresher) = refresher {
                    engine.spawn(refresher.run(stop_engine.clone()));
                }
                tokens
            }
        };
        let listener = http::listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut app = App::new(pool, realtime, tokens, setup.limits)
            .with_permissions(setup.permissions)
            .with_attachments(setup.attachments.map(|make| make(address)));
        if let Some(sinks) = &setup.sinks {
            let file = json!({ "sinks": sinks }).to_string();
            let sinks = Sinks::parse(&file, setup.sinks_roots.as_deref()).unwrap();
            app = app.with_sinks(sinks, setup.deliveries);
            app.deliveries.register().await.unwrap();
            engine.spawn(app.deliveries.clone().run(stop_engine.clone()));
        }
        let app = Arc::new(app);
        let tended = Arc::clone(&app);
        let stop = stop_engine.clone();
        engine.spawn(async move { tended.rates.tend(stop).await });
        let (tended, stop) = (Arc::clone(&app), stop_engine.clone());
        engine.spawn(async move { tended.attachments_tend(stop).await });
        let trusted = setup.trusted_proxies.iter();
        let connections = Connections::default();
        let origins = setup
            .origins
            .iter()
            .map(|origin| Origins::parse(origin).unwrap());
        let origins = Origins::new(origins);
        let metrics = Arc::new(Metrics::new(&app, &setup.schema, &connections));
        let state = HttpState::from(HttpParts {
            app: Arc::clone(&app),
            metrics,
            schema: setup.schema,
            shutdown: stop_serving.clone(),
            options: Arc::new(setup.sockets),
            http: Arc::new(HttpOptions {
                origins,
                ..setup.http
            }),
            connections: connections.clone(),
            trusted_proxies: trusted.map(|range| range.parse().unwrap()).collect(),
            tasks: sockets.clone(),
        });
        let router = http::router(&state);
        let apart = http::listen("127.0.0.1:0").await.unwrap();
        let metrics = apart.local_addr().unwrap();
        engine.spawn(http::serve_metrics(apart, state.clone()));
        sockets.spawn(http::serve(listener, router, state));
        let server = Self {
            address,
            metrics,
            app,
            database,
            stop_serving,
            stop_engine,
            connections,
            sockets,
            engine,
        };
        server.until_live().await;
        server
    }

    async fn until_live(&self) {
        for _ in 0..500 {
            if self.app.realtime.is_live() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the listener does not come to life");
    }

    /// Stops as the process does on a signal: requests and sockets first, then the engine.
    pub(crate) async fn stop(self) {
        self.stop_serving.cancel();
        self.sockets.close();
        self.sockets.wait().await;
        self.stop_engine.cancel();
        self.engine.close();
        self.engine.wait().await;
    }

    /// A user of this server, with a token. They exist from their first request on.
    pub(crate) fn user(&self, id: &str) -> User {
        User::new(self, id, None)
    }

    /// A user of another tenant.
    pub(crate) fn user_of(&self, tenant: &str, id: &str) -> User {
        User::new(self, id, Some(tenant))
    }

    /// Someone without a token.
    pub(crate) fn anonymous(&self) -> User {
        User::anonymous(self)
    }

    /// A connection to the database, behind the API's back.
    pub(crate) async fn sql(&self) -> Connection {
        self.database.connect().await.unwrap()
    }
}
