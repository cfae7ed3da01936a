//! Who the people of a channel are here.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::ImportPlan;
use crate::model::{PeopleError, Reason, Role, SourcePerson, TenantId, UserId, imported_time};
use crate::store::{self, Connection};

/// Somebody of the channel, as they are here.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) joined_at: DateTime<Utc>,
}

/// The pairs whose direct chats a dry run would have made.
#[derive(Debug, Default)]
pub(super) struct Pairs(HashSet<(TenantId, UserId, UserId)>);

impl Pairs {
    fn key(tenant: &TenantId, (one, other): &(UserId, UserId)) -> (TenantId, UserId, UserId) {
        let (low, high) = (one.min(other), one.max(other));
        (tenant.clone(), low.clone(), high.clone())
    }

    pub(super) fn has(&self, tenant: &TenantId, pair: &(UserId, UserId)) -> bool {
        self.0.contains(&Self::key(tenant, pair))
    }

    pub(super) fn add(&mut self, tenant: &TenantId, pair: &(UserId, UserId)) {
        self.0.insert(Self::key(tenant, pair));
    }
}

pub(super) fn count(members: &[Member]) -> i64 {
    i64::try_from(members.len()).unwrap_or(i64::MAX)
}

/// Who counts as having opened the chat.
pub(super) fn opener(members: &[Member]) -> Option<UserId> {
    let owner = members.iter().find(|member| member.role == Role::Owner);
    owner.or(members.first()).map(|member| member.user.clone())
}

pub(super) async fn ensure_users(
    conn: &mut Connection,
    tenant: &TenantId,
    members: &[Member],
    at: DateTime<Utc>,
) -> diesel::QueryResult<()> {
    let users: Vec<UserId> = members.iter().map(|it| it.user.clone()).collect();
    store::users::ensure(conn, tenant, &users, at).await
}

/// The one tenant of the people, and who they are.
pub(super) fn identify(
    plan: &ImportPlan,
    people: &[&SourcePerson],
) -> Result<(TenantId, HashMap<String, UserId>), Reason> {
    let reason = |error| match error {
        PeopleError::NoTenant(_) => Reason::NoTenant,
        PeopleError::Id(_) => Reason::UserId,
    };
    let mut tenants = HashSet::new();
    let mut users = HashMap::new();
    for person in people {
        tenants.insert(plan.people.tenant(&person.person).map_err(reason)?);
        let user = plan.people.user(&person.person).map_err(reason)?;
        users.insert(person.person.clone(), user);
    }
    let mut tenants = tenants.into_iter();
    match (tenants.next(), tenants.next()) {
        (Some(tenant), None) => Ok((tenant, users)),
        (None, _) => Err(Reason::NoTenant),
        (Some(_), Some(_)) => Err(Reason::SeveralTenants),
    }
}

/// The people as members; the first who wrote is the owner. Two ids of the source may be one person here.
pub(super) fn members(
    people: &[&SourcePerson],
    users: &HashMap<String, UserId>,
    now: DateTime<Utc>,
) -> Vec<Member> {
    let writers = people.iter().filter(|person| person.wrote_at.is_some());
    let first = writers.min_by_key(|person| (person.wrote_at, &person.person));
    let owner = first.and_then(|person| users.get(&person.person));
    let mut seen = HashSet::new();
    let each = people.iter().filter_map(|person| {
        let user = users.get(&person.person)?.clone();
        seen.insert(user.clone()).then(|| Member {
            role: if owner == Some(&user) {
                Role::Owner
            } else {
                Role::Member
            },
            user,
            joined_at: imported_time(person.first_at, now),
        })
    });
    each.collect()
}
