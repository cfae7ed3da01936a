//! What a connection sees: everything, or the rows of one tenant.

use crate::model::TenantId;
use crate::store::RoleName;

/// The rows of one tenant, seen by a role that Postgres keeps to them (migration `enable_row_security`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The role. It is no owner of the tables.
    pub role: RoleName,
    /// The tenant.
    pub tenant: TenantId,
}

impl Scope {
    /// What takes the role for the tenant: `SET`, until it is set otherwise, or `SET LOCAL`, for a transaction.
    fn assignments(&self, set: &str) -> String {
        let (role, tenant) = (self.role.as_str(), literal(self.tenant.as_str()));
        // The name has no quotes in it.
        format!("{set} ROLE \"{role}\"; {set} colloquy.tenant = {tenant}")
    }

    /// What makes an open transaction see this only.
    pub(super) fn within_transaction(&self) -> String {
        self.assignments("SET LOCAL")
    }
}

/// What makes a session that has seen `held` see `wanted`.
pub(super) fn change(held: Option<&Option<Scope>>, wanted: Option<&Scope>) -> String {
    match (held, wanted) {
        (_, None) => "RESET ROLE".to_owned(),
        (Some(Some(held)), Some(wanted)) if held.role == wanted.role => {
            let tenant = literal(wanted.tenant.as_str());
            format!("SET colloquy.tenant = {tenant}")
        }
        (_, Some(wanted)) => wanted.assignments("SET"),
    }
}

/// A text as SQL has it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(tenant: &str) -> Scope {
        Scope {
            role: "colloquy_tenant".parse().unwrap(),
            tenant: TenantId::new(tenant).unwrap(),
        }
    }

    #[test]
    fn only_what_differs_is_set() {
        let (one, other) = (scope("one"), scope("other"));
        let whole = "SET ROLE \"colloquy_tenant\"; SET colloquy.tenant = E'one'";
        // From an unknown state, and from seeing everything.
        assert_eq!(change(None, Some(&one)), whole);
        assert_eq!(change(Some(&None), Some(&one)), whole);
        let tenant = "SET colloquy.tenant = E'one'";
        assert_eq!(change(Some(&Some(other)), Some(&one)), tenant);
        assert_eq!(change(Some(&Some(one)), None), "RESET ROLE");
    }

    #[test]
    fn a_tenant_is_a_text_and_nothing_else() {
        let tenant = scope(r"'; RESET ROLE; --\").within_transaction();
        let (_, tenant) = tenant.split_once(" = ").unwrap();
        assert_eq!(tenant, r"E'''; RESET ROLE; --\\'");
    }
}
