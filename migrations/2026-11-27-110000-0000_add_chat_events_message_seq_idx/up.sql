-- What was edited is found by its message: 1 is an edit.
CREATE INDEX CONCURRENTLY chat_events_message_seq_idx ON chat_events (chat_id, message_seq, seq) WHERE kind = 1;
