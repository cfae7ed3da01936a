//! The mode of the suite in which every server works under row level security: `COLLOQUY_TEST_ROW_SECURITY=1`.
//!
//! Row level security as it is shipped would hide a forgotten tenant: the statement finds its own rows only, and
//! the test passes. So in this mode the policies do not hide another tenant's row from a statement that comes
//! upon it: they end the statement, and with it the test. They cost so much that Postgres asks the statement's own
//! conditions first; comparing tenants is leakproof, so it may.

use colloquy::store::{Connection, RoleName, row_security};

use super::postgres::sql;

/// The role that sees one tenant's rows, in every Postgres of the run.
pub(crate) fn tenant_role() -> RoleName {
    "colloquy_tenant".parse().unwrap()
}

/// Whether the run is in the mode.
pub(crate) fn is_on() -> bool {
    std::env::var_os("COLLOQUY_TEST_ROW_SECURITY").is_some_and(|value| value == "1")
}

const STRICT: &str = "
    CREATE SCHEMA strict;
    GRANT USAGE ON SCHEMA strict TO colloquy_tenant;
    CREATE FUNCTION strict.is_own(tenant text) RETURNS boolean LANGUAGE plpgsql STABLE COST 1000000 AS $$
    BEGIN
        IF tenant IS DISTINCT FROM current_setting('colloquy.tenant', true) THEN
            RAISE EXCEPTION 'a statement for the tenant % comes upon a row of %',
                current_setting('colloquy.tenant', true), tenant;
        END IF;
        RETURN true;
    END
    $$;
    DO $$
    DECLARE policy record;
    BEGIN
        FOR policy IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'public' LOOP
            EXECUTE format('ALTER POLICY %I ON %I USING (strict.is_own(tenant_id))', policy.policyname, policy.tablename);
        END LOOP;
    END
    $$";

/// Makes the role, and in the mode has the policies of a migrated database end what they would hide.
pub(crate) async fn prepare(conn: &mut Connection) {
    let role = tenant_role();
    sql(conn, &format!("CREATE ROLE {role} NOLOGIN")).await;
    row_security::prepare(conn, Some(&role)).await.unwrap();
    if is_on() {
        sql(conn, STRICT).await;
    }
}
