//! What tokens permit.

use clap::{Args, ValueEnum};

use crate::app::{Coarse, Permissions};

/// What tokens permit.
#[derive(Debug, Clone, Args)]
pub struct PermissionArgs {
    /// What decides what a user may do at all: nothing, or the permissions that their token names, such as
    /// `ViewMessage`. Membership and roles decide on top of it.
    #[arg(
        long = "permissions",
        env = "COLLOQUY_PERMISSIONS",
        default_value = "off",
        value_name = "SOURCE"
    )]
    pub coarse: CoarseArg,
    /// The permission of a token by which its user administers their tenant: reads and moderates every chat, and
    /// revokes tokens. An empty name, and nobody does.
    #[arg(
        long = "admin-permission",
        env = "COLLOQUY_ADMIN_PERMISSION",
        default_value = "colloquy:admin",
        value_name = "NAME"
    )]
    pub administrator: String,
}

/// What decides what a user may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CoarseArg {
    /// Nothing.
    Off,
    /// The permissions that their token names.
    Token,
}

impl PermissionArgs {
    /// What tokens permit.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions {
            coarse: match self.coarse {
                CoarseArg::Off => Coarse::Off,
                CoarseArg::Token => Coarse::Token,
            },
            administrator: self.administrator.clone(),
        }
    }
}
