//! What a development run has of its own: the private Postgres, the secret, sample chats, the greeting.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use crate::app::{Actor, App, Claims, Error, NewGroup, SendMessage};
use crate::config::AttachmentDefaults;
use crate::embedded::{self, Postgres, create_data_dir};
use crate::model::{
    Body, ChatFilter, ChatHistory, InboxFields, NewAttachments, PageArgs, Profile, TenantId, Title,
    UserId,
};
use crate::store::users::Bearer;
use crate::store::{self, Database};

/// The private Postgres' database.
const DATABASE: &str = "colloquy";

/// The file that keeps the development secret.
const SECRET_FILE: &str = "jwt-secret";

/// The file that keeps what signs the URLs of attachments.
const ATTACHMENTS_KEY_FILE: &str = "attachments-key";

/// The folder of attachments.
const ATTACHMENTS_FOLDER: &str = "attachments";

/// How long the tokens of the greeting are valid.
const TOKENS_VALID: Duration = Duration::from_hours(7 * 24);

/// What can go wrong before a development run serves.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// The private Postgres does not run.
    #[error(transparent)]
    Postgres(#[from] embedded::Error),
    /// It runs and cannot be used.
    #[error("the private Postgres cannot be used")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The secret cannot be kept.
    #[error("the secret file {0} cannot be used")]
    Secret(String, #[source] io::Error),
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Makes sure that the private Postgres has its database, and says where it is.
///
/// # Errors
///
/// [`DevelopmentError`] where it cannot be reached.
pub async fn database(postgres: &Postgres) -> Result<Database, DevelopmentError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| DevelopmentError::Database(error);
    let database = Database::new(&postgres.url(DATABASE)).map_err(|error| failed(error.into()))?;
    let mut conn = database
        .named("postgres")
        .connect()
        .await
        .map_err(|error| failed(error.into()))?;
    store::databases::ensure(&mut conn, DATABASE)
        .await
        .map_err(|error| failed(error.into()))?;
    Ok(database)
}

/// The development secret of a data folder, made at random when first asked for.
///
/// # Errors
///
/// [`DevelopmentError`] where the file cannot be read or made.
pub fn secret(data_dir: &Path) -> Result<SecretString, DevelopmentError> {
    kept(data_dir, SECRET_FILE)
}

/// What a development run keeps attachments with: a folder of the data folder, and a key made at random when first asked
/// for. `address` is the one listened on.
///
/// # Errors
///
/// [`DevelopmentError`] where the file cannot be read or made.
pub fn attachments(
    data_dir: &Path,
    address: String,
) -> Result<AttachmentDefaults, DevelopmentError> {
    Ok(AttachmentDefaults {
        folder: data_dir.join(ATTACHMENTS_FOLDER),
        key: kept(data_dir, ATTACHMENTS_KEY_FILE)?,
        address,
    })
}

/// A secret of a data folder, made at random when first asked for.
fn kept(data_dir: &Path, file: &str) -> Result<SecretString, DevelopmentError> {
    create_data_dir(data_dir)?;
    let path = data_dir.join(file);
    let failed = |error| DevelopmentError::Secret(path.display().to_string(), error);
    match fs::read_to_string(&path) {
        Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(_) | Err(_) => {}
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(DevelopmentError::Random)?;
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    // Whole or not at all, and one for two that start at the same time: written aside, then linked.
    let aside = data_dir.join(format!("{file}.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut opened = options.open(&aside).map_err(failed)?;
    writeln!(opened, "{secret}").map_err(failed)?;
    let linked = fs::hard_link(&aside, &path);
    fs::remove_file(&aside).map_err(failed)?;
    match linked {
        Ok(()) => Ok(secret.into()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let secret = fs::read_to_string(&path).map_err(failed)?;
            Ok(secret.trim().into())
        }
        Err(error) => Err(failed(error)),
    }
}

/// Prints what a newcomer needs.
///
/// # Errors
///
/// Whatever keeps standard output from being written.
pub fn greet(app: &App, origin: &str, data_dir: Option<&Path>) -> io::Result<()> {
    let token = |user: &str, name: &str| {
        let user = UserId::new(user).ok()?;
        let mut claims = Claims::new(&user, app.clock.now(), TOKENS_VALID);
        claims.name = Some(name.to_owned());
        app.tokens.make(&claims).ok()
    };
    let mut out = io::stdout().lock();
    let (Some(alice), Some(bob)) = (token("alice", "Alice"), token("bob", "Bob")) else {
        // An issuer signs the tokens here, not we.
        writeln!(out, "\nColloquy is ready at {origin}\n")?;
        return out.flush();
    };
    // As it was called: after `cargo run` there is no `colloquy` on the path.
    let program = std::env::args().next().unwrap_or_default();
    let folder = data_dir.map(|folder| format!(" --data-dir {}", folder.display()));
    let folder = folder.unwrap_or_default();
    writeln!(
        out,
        "\nColloquy is ready at {origin}

Open GraphiQL as one of two sample users, each in a window of its own:

  Alice  {origin}/#token={alice}
  Bob    {origin}/#token={bob}

Or ask from a terminal:

  curl {origin}/graphql \\
    -H 'Content-Type: application/json' \\
    -H 'Authorization: Bearer {alice}' \\
    -d '{{\"query\": \"{{ viewer {{ id displayName }} chats {{ nodes {{ id title }} }} }}\"}}'

Tokens for others: {program} token{folder} --user carol --name Carol
Ctrl-C stops the server and its Postgres; the data stays.\n"
    )?;
    out.flush()
}

/// Who says something in the sample chats.
#[derive(Debug, Clone, Copy)]
enum Author {
    Alice,
    Bob,
    Carol,
}

/// Where.
#[derive(Debug, Clone, Copy)]
enum Place {
    Group,
    Direct,
}

/// What is said in the sample chats.
const DEMO: &[(Author, Place, &str)] = &[
    (
        Author::Alice,
        Place::Group,
        "Morning! The release branch is cut. What is still open?",
    ),
    (
        Author::Bob,
        Place::Group,
        "The import job. It is slow on the big tenant, I am on it.",
    ),
    (
        Author::Carol,
        Place::Group,
        "Docs are done, the changelog needs one more pass.",
    ),
    (
        Author::Alice,
        Place::Group,
        "Good. Then let us ship on Thursday, and watch it over lunch.",
    ),
    (
        Author::Bob,
        Place::Group,
        "👍 Fixed, by the way: 40 s → 3 s. A missing index, as always.",
    ),
    (Author::Carol, Place::Group, "That deserves cake."),
    (
        Author::Bob,
        Place::Direct,
        "Do you have a minute for the migration plan?",
    ),
    (
        Author::Alice,
        Place::Direct,
        "After two. Send me the draft and I will read it before.",
    ),
    (Author::Bob, Place::Direct, "On its way."),
];

/// Fills sample chats in through the application's own operations, if the first sample user has none.
///
/// # Errors
///
/// Whatever the operations say.
pub async fn fill_demo(app: &App) -> Result<(), Error> {
    let [alice, bob, carol] = [
        person(app, "alice", "Alice").await?,
        person(app, "bob", "Bob").await?,
        person(app, "carol", "Carol").await?,
    ];
    let page = PageArgs::default();
    let (filter, fields) = (ChatFilter::default(), InboxFields::default());
    let chats = app.chats_page(&alice, &filter, &page, fields);
    if !chats.await?.items.is_empty() {
        return Ok(());
    }
    let spring = NewGroup {
        title: Title::new("Spring release")?,
        history: ChatHistory::Whole,
        metadata: None,
        channel: None,
    };
    let others = vec![bob.user.clone(), carol.user.clone()];
    let group = app
        .chat_create_group(&alice, &spring, others)
        .await?
        .chat
        .id;
    let direct = app
        .chat_open_direct(&bob, alice.user.clone())
        .await?
        .chat
        .id;
    for (author, place, text) in DEMO {
        let actor = match author {
            Author::Alice => &alice,
            Author::Bob => &bob,
            Author::Carol => &carol,
        };
        let chat_id = match place {
            Place::Group => group,
            Place::Direct => direct,
        };
        let send = SendMessage {
            chat_id,
            body: Body::new((*text).to_owned())?,
            subject: None,
            metadata: None,
            reply_to: None,
            idempotency_key: None,
            forwarded_from: None,
            attachments: NewAttachments::none(),
        };
        app.message_send(actor, send).await?;
    }
    Ok(())
}

async fn person(app: &App, id: &str, name: &str) -> Result<Actor, Error> {
    let actor = Actor::new(TenantId::default(), UserId::new(id)?);
    let bearer = Bearer {
        tenant_id: actor.tenant.clone(),
        user_id: actor.user.clone(),
        profile: Profile {
            display_name: Some(name.to_owned()),
            avatar_url: None,
            issued_at: None,
        },
    };
    app.bearers_write(&[bearer]).await?;
    Ok(actor)
}
