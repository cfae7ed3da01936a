CREATE TABLE notification_settings (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    level smallint NOT NULL,
    quiet_from smallint,
    quiet_to smallint,
    time_zone text,
    CONSTRAINT notification_settings_pkey PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT notification_settings_level_check CHECK (level BETWEEN 0 AND 2),
    CONSTRAINT notification_settings_quiet_check CHECK (num_nulls(quiet_from, quiet_to, time_zone) IN (0, 3)
        AND quiet_from BETWEEN 0 AND 1439 AND quiet_to BETWEEN 0 AND 1439)
);

COMMENT ON TABLE notification_settings IS 'Of what people are told while they are away. Who has no row is told of everything, at any hour.';
COMMENT ON COLUMN notification_settings.tenant_id IS 'The tenant of the person.';
COMMENT ON COLUMN notification_settings.user_id IS 'The person.';
COMMENT ON COLUMN notification_settings.level IS '0 everything, 1 mentions and direct chats, 2 nothing.';
COMMENT ON COLUMN notification_settings.quiet_from IS 'When the quiet hours begin each day, in minutes after midnight; null where there are none.';
COMMENT ON COLUMN notification_settings.quiet_to IS 'When they end; on the next day, where it is not after their beginning.';
COMMENT ON COLUMN notification_settings.time_zone IS 'The time zone of both, by its name in the IANA database.';

ALTER TABLE notification_settings ENABLE ROW LEVEL SECURITY;
CREATE POLICY notification_settings_of_tenant ON notification_settings
    USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY notification_settings_of_tenant ON notification_settings IS 'Rows of the tenant that the session works for.';

CREATE TABLE chat_notification_settings (
    chat_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    level smallint,
    muted boolean NOT NULL DEFAULT false,
    muted_until timestamptz,
    CONSTRAINT chat_notification_settings_pkey PRIMARY KEY (chat_id, user_id),
    CONSTRAINT chat_notification_settings_level_check CHECK (level BETWEEN 0 AND 2)
);

COMMENT ON TABLE chat_notification_settings IS 'Where people want to be told of a chat otherwise than of others.';
COMMENT ON COLUMN chat_notification_settings.chat_id IS 'The chat, and the key by which the table can be distributed.';
COMMENT ON COLUMN chat_notification_settings.user_id IS 'The person.';
COMMENT ON COLUMN chat_notification_settings.tenant_id IS 'The tenant of both.';
COMMENT ON COLUMN chat_notification_settings.level IS '0 everything, 1 mentions and direct chats, 2 nothing; null as the person''s own settings say.';
COMMENT ON COLUMN chat_notification_settings.muted IS 'Whether the person has muted the chat.';
COMMENT ON COLUMN chat_notification_settings.muted_until IS 'Until when it is muted; null for ever.';

ALTER TABLE chat_notification_settings ENABLE ROW LEVEL SECURITY;
CREATE POLICY chat_notification_settings_of_tenant ON chat_notification_settings
    USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY chat_notification_settings_of_tenant ON chat_notification_settings IS 'Rows of the tenant that the session works for.';
