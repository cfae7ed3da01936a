//! Whose word it is what a user may do at all.

use std::sync::Arc;

use super::audit_entries::kept;
use super::{App, Session};
use crate::model::{Grants, Permission};

/// What decides what a user may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coarse {
    /// Nothing: every user may do what membership and roles allow.
    Off,
    /// The permissions that their token names.
    Token,
}

/// What tokens permit, as the installation sets it.
#[derive(Debug, Clone)]
pub struct Permissions {
    /// What decides what a user may do at all.
    pub coarse: Coarse,
    /// The permission by which a user administers their tenant; empty, nobody does.
    pub administrator: String,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            coarse: Coarse::Off,
            administrator: "colloquy:admin".to_owned(),
        }
    }
}

impl Permissions {
    fn grants(&self, names: &[String]) -> Grants {
        let grants = match self.coarse {
            Coarse::Off => Grants::USUAL,
            Coarse::Token => Grants::named(names),
        };
        let administers = !self.administrator.is_empty() && names.contains(&self.administrator);
        if administers {
            grants.and(Permission::Administer)
        } else {
            grants
        }
    }
}

impl App {
    /// The session with what its token permits: to be asked once, when the token is accepted.
    pub(super) fn granted(&self, mut session: Session) -> Session {
        session.actor.grants = self.permissions.grants(&session.permissions);
        if session.actor.administers() {
            session.actor.administration = Some(Arc::default());
        }
        session.actor.token_id = session.token_id.as_deref().map(kept);
        session
    }
}
