//! Statements with SQL of their own.

/// Gives a statement a static query id, so that it is prepared once a connection, and the type of its rows.
///
/// The struct holds the parameters and implements `QueryFragment`. Parameters are numbered in the order in
/// which they are pushed, so SQL that follows may name an earlier one again as `$1`.
macro_rules! hot {
    ($name:ident<$lifetime:lifetime $(, const $flag:ident: bool)?> -> $row:ty) => {
        impl<$lifetime $(, const $flag: bool)?> diesel::query_builder::QueryId
            for $name<$lifetime $(, $flag)?>
        {
            type QueryId = $name<'static $(, $flag)?>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl<$lifetime $(, const $flag: bool)?> diesel::query_builder::Query
            for $name<$lifetime $(, $flag)?>
        {
            type SqlType = $row;
        }
    };
}

pub(super) use hot;
