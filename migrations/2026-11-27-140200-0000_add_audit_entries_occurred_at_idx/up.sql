-- The audit trail, newest first.
CREATE INDEX CONCURRENTLY audit_entries_occurred_at_idx ON audit_entries (tenant_id, occurred_at, id);
