//! Closed sets of the database as Rust enums.

/// Declares an enum that is stored as a `smallint` with a CHECK constraint, which costs no type look-up
/// on a new connection, as a Postgres enum would.
macro_rules! closed_set {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$value_meta:meta])* $value:ident = $number:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[diesel(sql_type = diesel::sql_types::SmallInt)]
        pub enum $name {
            $($(#[$value_meta])* $value,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The value for which the database holds a number.
            #[must_use]
            pub fn of_number(number: i16) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.number() == number)
            }

            /// The number the database holds for the value.
            const fn number(self) -> i16 {
                match self {
                    $(Self::$value => $number,)+
                }
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::SmallInt, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                use std::io::Write as _;
                out.write_all(&self.number().to_be_bytes())?;
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::SmallInt, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                let number: i16 = diesel::deserialize::FromSql::<
                    diesel::sql_types::SmallInt,
                    diesel::pg::Pg,
                >::from_sql(value)?;
                Self::of_number(number)
                    .ok_or_else(|| format!("{number} is no {}", stringify!($name)).into())
            }
        }
    };
}

pub(super) use closed_set;
