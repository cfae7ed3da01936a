//! Who somebody of the source is here.

use std::collections::HashMap;

use super::super::{TenantId, UserId};

/// Who the people of the source are here, and what the chats are called. What is not listed keeps its id, and gets the
/// default tenant and title.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct People {
    /// The tenant of who is not listed. Without it, whoever is not listed has none.
    pub default_tenant: Option<String>,
    /// Ids of the source to tenants.
    pub tenants: HashMap<String, String>,
    /// Ids of the source to the subjects of tokens.
    pub users: HashMap<String, String>,
    /// Ids of channels to titles.
    pub titles: HashMap<String, String>,
}

/// Why somebody is nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// No tenant is named.
    #[error("no tenant is named for the user {0}")]
    NoTenant(String),
    /// The id cannot be a user's.
    #[error("the id {0} cannot be that of a user")]
    Id(String),
}

impl People {
    /// Everybody is of the default tenant, by their own id.
    #[must_use]
    pub fn of_one_tenant() -> Self {
        Self {
            default_tenant: Some(TenantId::default().as_str().to_owned()),
            ..Self::default()
        }
    }

    /// The tenant of somebody.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoTenant`] where none is named, or none that can be one.
    pub fn tenant(&self, person: &str) -> Result<TenantId, PeopleError> {
        let named = self.tenants.get(person).or(self.default_tenant.as_ref());
        named
            .and_then(|tenant| TenantId::new(tenant.as_str()).ok())
            .ok_or_else(|| PeopleError::NoTenant(person.to_owned()))
    }

    /// The id of somebody here.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Id`] where it cannot be one.
    pub fn user(&self, person: &str) -> Result<UserId, PeopleError> {
        let id = self.users.get(person).map_or(person, String::as_str);
        UserId::new(id).map_err(|_refused| PeopleError::Id(id.to_owned()))
    }
}
