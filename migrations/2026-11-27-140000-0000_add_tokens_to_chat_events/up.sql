ALTER TABLE chat_events
    ADD COLUMN request_id text,
    ADD COLUMN token_id text;

COMMENT ON COLUMN chat_events.request_id IS 'The id of the HTTP request, or of the one that opened the WebSocket.';
COMMENT ON COLUMN chat_events.token_id IS 'What the actor''s token is called (jti); null where it has no name.';

ALTER TABLE audit_entries
    DROP CONSTRAINT audit_entries_act_check,
    ADD CONSTRAINT audit_entries_act_check CHECK (act BETWEEN 0 AND 8);

COMMENT ON COLUMN audit_entries.act IS '0 chat read, 1 message deleted, 2 message restored, 3 chat deleted, 4 chat restored, 5 participant removed, 6 role changed, 7 tokens revoked, 8 audit trail read.';
