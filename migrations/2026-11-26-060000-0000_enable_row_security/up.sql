-- Enabled, not forced: the owner of the tables, which the server logs in as, sees everything as before. Who is
-- neither the owner nor exempt (BYPASSRLS) sees the rows of the tenant that the session says it serves, and none
-- where it says nothing. Without a clause of its own, what is written is checked by the same condition.

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY users_of_tenant ON users USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY users_of_tenant ON users IS 'Rows of the tenant that the session works for.';

ALTER TABLE chats ENABLE ROW LEVEL SECURITY;
CREATE POLICY chats_of_tenant ON chats USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY chats_of_tenant ON chats IS 'Rows of the tenant that the session works for.';

ALTER TABLE direct_chats ENABLE ROW LEVEL SECURITY;
CREATE POLICY direct_chats_of_tenant ON direct_chats USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY direct_chats_of_tenant ON direct_chats IS 'Rows of the tenant that the session works for.';

ALTER TABLE participants ENABLE ROW LEVEL SECURITY;
CREATE POLICY participants_of_tenant ON participants USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY participants_of_tenant ON participants IS 'Rows of the tenant that the session works for.';

ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY messages_of_tenant ON messages USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY messages_of_tenant ON messages IS 'Rows of the tenant that the session works for.';

ALTER TABLE chat_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY chat_events_of_tenant ON chat_events USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY chat_events_of_tenant ON chat_events IS 'Rows of the tenant that the session works for.';

ALTER TABLE presences ENABLE ROW LEVEL SECURITY;
CREATE POLICY presences_of_tenant ON presences USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY presences_of_tenant ON presences IS 'Rows of the tenant that the session works for.';

ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit_entries_of_tenant ON audit_entries USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY audit_entries_of_tenant ON audit_entries IS 'Rows of the tenant that the session works for.';

ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
CREATE POLICY revocations_of_tenant ON revocations USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY revocations_of_tenant ON revocations IS 'Rows of the tenant that the session works for.';
