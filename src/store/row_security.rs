//! Row level security as a second wall between tenants: the role that works for one tenant sees no other's rows.
//!
//! The tables' owner is not subject to the policies, so without such a role nothing changes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use diesel::sql_types::{Bool, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

use super::{Connection, Scope};
use crate::model::TenantId;

/// What the role may do, and with which tables: what a user can cause. The rest is the engine's.
const PRIVILEGES: &[(&str, &[&str])] = &[
    (
        "SELECT",
        &[
            "users",
            "chats",
            "direct_chats",
            "participants",
            "messages",
            "chat_events",
            "presences",
            "receipts",
            "stars",
            "audit_entries",
            "attachments",
            "attachment_downloads",
            "message_attachments",
            "servers",
            "epoch",
            "sinks",
            "delivery_lanes",
            "dead_letters",
            "notification_settings",
            "chat_notification_settings",
        ],
    ),
    (
        "INSERT",
        &[
            "users",
            "chats",
            "direct_chats",
            "participants",
            "messages",
            "chat_events",
            "audit_entries",
            "receipts",
            "stars",
            "attachments",
            "attachment_downloads",
            "message_attachments",
            "outbox",
            "delivery_lanes",
            "deliveries",
            "notification_settings",
            "chat_notification_settings",
        ],
    ),
    (
        "UPDATE",
        &[
            "users",
            "chats",
            "participants",
            "messages",
            "attachments",
            "delivery_lanes",
            "notification_settings",
            "chat_notification_settings",
        ],
    ),
    ("DELETE", &["participants", "stars", "dead_letters"]),
];

/// How often privileges are granted anew that another server grants at the same time.
const GRANT_ATTEMPTS: usize = 5;

/// The name of a role of Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleName(Arc<str>);

/// Why a text is no role's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a role's name has 1 to 63 letters, digits, - and _ of ASCII, and is neither none nor public"
)]
pub struct RoleNameError;

impl RoleName {
    /// The name as Postgres has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let fits = (1..=63).contains(&text.len()) && text.chars().all(plain);
        // Both mean something else to Postgres, quoted or not.
        if fits && !matches!(text, "none" | "public") {
            return Ok(Self(text.into()));
        }
        Err(RoleNameError)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a server does not start on a database with row level security.
#[derive(Debug, thiserror::Error)]
pub enum RowSecurityError {
    /// Whom the server logs in as would see no rows at all.
    #[error(
        "row level security hides every row from {0}, as whom the server logs in: log in as the owner of the \
         tables, or ALTER ROLE {0} BYPASSRLS"
    )]
    Subject(String),
    /// The role does not exist.
    #[error("there is no role {0}: CREATE ROLE \"{0}\" NOLOGIN")]
    Missing(RoleName),
    /// The server may not take the role.
    #[error("{1} may not take the role {0}: GRANT \"{0}\" TO \"{1}\"")]
    Foreign(RoleName, String),
    /// Row level security does not hold for the role.
    #[error(
        "the role {0} is a superuser or has BYPASSRLS, so row level security does not hold for it"
    )]
    Exempt(RoleName),
    /// The role is the owner, or may become it.
    #[error("the role {0} owns a table, or is a member of the role that does")]
    Owner(RoleName),
    /// A table's policies are switched off.
    #[error(
        "row level security is switched off for the table {0}: ALTER TABLE {0} ENABLE ROW LEVEL SECURITY"
    )]
    Open(String),
    /// What the role needs cannot be given to it.
    #[error("the role {0} lacks privileges, and they cannot be granted")]
    Grant(RoleName, #[source] diesel::result::Error),
    /// The database does not answer.
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}

/// Makes sure that row level security is in nobody's way but the role's, and gives the role what it lacks.
///
/// # Errors
///
/// [`RowSecurityError`], each with what to do about it.
pub async fn prepare(
    conn: &mut Connection,
    role: Option<&RoleName>,
) -> Result<(), RowSecurityError> {
    let login = login(conn).await?;
    if !tables(conn, "row_security_active(c.oid)").await?.is_empty() {
        return Err(RowSecurityError::Subject(login));
    }
    let Some(role) = role else {
        return Ok(());
    };
    let facts = facts(conn, role).await?;
    let facts = facts.ok_or_else(|| RowSecurityError::Missing(role.clone()))?;
    if facts.exempt {
        return Err(RowSecurityError::Exempt(role.clone()));
    }
    if facts.owns {
        return Err(RowSecurityError::Owner(role.clone()));
    }
    if !facts.ours {
        return Err(RowSecurityError::Foreign(role.clone(), login));
    }
    grant(conn, role).await?;
    // The rest is seen by taking the role, as every request will.
    let tenant = TenantId::default();
    let role = role.clone();
    conn.confine(Some(Scope { role, tenant }));
    let open = tables(conn, "NOT row_security_active(c.oid)").await?;
    conn.confine(None);
    match open.into_iter().next() {
        Some(table) => Err(RowSecurityError::Open(table)),
        None => Ok(()),
    }
}

#[derive(Debug, QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

async fn lines(conn: &mut Connection, statement: String) -> QueryResult<Vec<String>> {
    let rows: Vec<Line> = sql_query(statement).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

async fn login(conn: &mut Connection) -> QueryResult<String> {
    let row: Line = sql_query("SELECT current_user::text AS line")
        .get_result(conn)
        .await?;
    Ok(row.line)
}

/// The tables with a tenant of which something holds.
async fn tables(conn: &mut Connection, condition: &str) -> QueryResult<Vec<String>> {
    let statement = format!(
        "SELECT c.relname::text AS line FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid \
         WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'chats'::regclass) \
         AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id' AND NOT a.attisdropped AND {condition} \
         ORDER BY c.relname"
    );
    lines(conn, statement).await
}

#[derive(Debug, QueryableByName)]
struct Facts {
    #[diesel(sql_type = Bool)]
    exempt: bool,
    #[diesel(sql_type = Bool)]
    owns: bool,
    #[diesel(sql_type = Bool)]
    ours: bool,
}

async fn facts(conn: &mut Connection, role: &RoleName) -> QueryResult<Option<Facts>> {
    sql_query(
        "SELECT r.rolsuper OR r.rolbypassrls AS exempt, pg_has_role(current_user, r.oid, 'MEMBER') AS ours, \
         EXISTS (SELECT FROM pg_class AS c WHERE pg_has_role(r.oid, c.relowner, 'MEMBER') AND c.relkind IN ('r', 'p') \
         AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'chats'::regclass)) AS owns \
         FROM pg_roles AS r WHERE r.rolname = $1",
    )
    .bind::<Text, _>(role.as_str())
    .get_result(conn)
    .await
    .optional()
}

/// Grants what the role lacks. Servers that start together may be in each other's way.
async fn grant(conn: &mut Connection, role: &RoleName) -> Result<(), RowSecurityError> {
    let mut failure = None;
    for _ in 0..GRANT_ATTEMPTS {
        let lacking = lacking(conn, role).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        failure = conn.batch_execute(&lacking.join("; ")).await.err();
    }
    failure.map_or(Ok(()), |error| {
        Err(RowSecurityError::Grant(role.clone(), error))
    })
}

/// The statements that give the role what it lacks.
async fn lacking(conn: &mut Connection, role: &RoleName) -> QueryResult<Vec<String>> {
    let wanted = PRIVILEGES.iter().flat_map(|(privilege, tables)| {
        tables
            .iter()
            .map(move |table| format!("('{table}', '{privilege}')"))
    });
    let wanted = wanted.collect::<Vec<_>>().join(", ");
    let statement = format!(
        "SELECT format('GRANT USAGE ON SCHEMA %s TO \"{role}\"', c.relnamespace::regnamespace) AS line \
         FROM pg_class AS c WHERE c.oid = 'chats'::regclass \
         AND NOT has_schema_privilege('{role}', c.relnamespace, 'USAGE') \
         UNION ALL SELECT format('GRANT %s ON %s TO \"{role}\"', privilege, name::regclass) \
         FROM (VALUES {wanted}) AS wanted (name, privilege) \
         WHERE NOT has_table_privilege('{role}', name::regclass, privilege)"
    );
    lines(conn, statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_a_plain_name() {
        for name in ["colloquy_tenant", "A-1", &"x".repeat(63)] {
            assert_eq!(name.parse::<RoleName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "none",
            "public",
            "a b",
            "a\"b",
            "a;b",
            "ä",
            &"x".repeat(64),
        ] {
            assert!(name.parse::<RoleName>().is_err(), "{name}");
        }
    }
}
