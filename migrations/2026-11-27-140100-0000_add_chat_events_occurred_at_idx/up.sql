-- The audit trail, newest first.
CREATE INDEX CONCURRENTLY chat_events_occurred_at_idx ON chat_events (tenant_id, occurred_at, chat_id, seq);
