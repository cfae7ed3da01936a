//! A row of an answer, whichever way its statement was executed.

use std::error::Error;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use diesel::pg::{Pg, PgValue};
use diesel::row::{self, PartialRow, RowIndex, RowSealed};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use tokio_postgres::types::{FromSql, Type};

/// A row of a prepared statement.
type Prepared = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A row of an answer.
#[expect(
    missing_debug_implementations,
    reason = "the rows inside have none either"
)]
pub struct Row(Kind);

enum Kind {
    Prepared(Prepared),
    Unprepared(Unprepared),
}

struct Unprepared {
    row: tokio_postgres::Row,
    /// The columns' types: a value refers to its own.
    types: Arc<[NonZeroU32]>,
}

impl Row {
    /// A row of a prepared statement's answer.
    pub(super) fn prepared(row: Prepared) -> Self {
        Self(Kind::Prepared(row))
    }

    /// The rows of one answer.
    pub(super) fn of_answer(rows: Vec<tokio_postgres::Row>) -> Vec<Self> {
        let types: Arc<[NonZeroU32]> = rows.first().map_or_else(Arc::default, |first| {
            let oids = first.columns().iter().map(|column| column.type_().oid());
            // 0 is no type of Postgres', so the other value is never taken.
            oids.map(|oid| NonZeroU32::new(oid).unwrap_or(NonZeroU32::MAX))
                .collect()
        });
        let row = |row| {
            let types = Arc::clone(&types);
            Self(Kind::Unprepared(Unprepared { row, types }))
        };
        rows.into_iter().map(row).collect()
    }
}

impl RowSealed for Row {}

impl<'a> row::Row<'a, Pg> for Row {
    type Field<'f>
        = Field<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        match &self.0 {
            Kind::Prepared(row) => row.field_count(),
            Kind::Unprepared(unprepared) => unprepared.row.len(),
        }
    }

    fn get<'b, I>(&'b self, idx: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(idx)?;
        Some(Field(match &self.0 {
            Kind::Prepared(row) => FieldKind::Prepared(row.get(index)?),
            Kind::Unprepared(unprepared) => FieldKind::Unprepared(unprepared, index),
        }))
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for Row {
    fn idx(&self, idx: usize) -> Option<usize> {
        match &self.0 {
            Kind::Prepared(row) => row.idx(idx),
            Kind::Unprepared(unprepared) => (idx < unprepared.row.len()).then_some(idx),
        }
    }
}

impl<'a> RowIndex<&'a str> for Row {
    fn idx(&self, idx: &'a str) -> Option<usize> {
        match &self.0 {
            Kind::Prepared(row) => row.idx(idx),
            Kind::Unprepared(unprepared) => {
                let mut columns = unprepared.row.columns().iter();
                columns.position(|column| column.name() == idx)
            }
        }
    }
}

/// A field of a row.
#[expect(
    missing_debug_implementations,
    reason = "the fields inside have none either"
)]
pub struct Field<'a>(FieldKind<'a>);

enum FieldKind<'a> {
    Prepared(<Prepared as row::Row<'a, Pg>>::Field<'a>),
    Unprepared(&'a Unprepared, usize),
}

impl<'a> row::Field<'a, Pg> for Field<'a> {
    fn field_name(&self) -> Option<&str> {
        match &self.0 {
            FieldKind::Prepared(field) => field.field_name(),
            FieldKind::Unprepared(unprepared, index) => {
                let column = unprepared.row.columns().get(*index)?;
                Some(column.name())
            }
        }
    }

    fn value(&self) -> Option<PgValue<'_>> {
        match &self.0 {
            FieldKind::Prepared(field) => field.value(),
            FieldKind::Unprepared(unprepared, index) => {
                // The index is one of the row's and every type is accepted, so only null has no bytes.
                let Raw(bytes) = unprepared.row.try_get(*index).ok()?;
                Some(PgValue::new(bytes, unprepared.types.get(*index)?))
            }
        }
    }
}

/// A value's bytes as they came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
