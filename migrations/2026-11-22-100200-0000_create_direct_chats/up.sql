CREATE TABLE direct_chats (
    tenant_id text COLLATE "C" NOT NULL,
    low_user_id text COLLATE "C" NOT NULL,
    high_user_id text COLLATE "C" NOT NULL,
    chat_id uuid NOT NULL,
    CONSTRAINT direct_chats_pkey PRIMARY KEY (tenant_id, low_user_id, high_user_id),
    CONSTRAINT direct_chats_order_check CHECK (low_user_id < high_user_id),
    -- Deferred, because the pair is claimed first: only the winner of a race goes on to make the chat.
    CONSTRAINT direct_chats_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES chats (id) DEFERRABLE INITIALLY DEFERRED
);

COMMENT ON TABLE direct_chats IS 'The one direct chat of each pair of users.';
COMMENT ON COLUMN direct_chats.tenant_id IS 'The tenant of both users.';
COMMENT ON COLUMN direct_chats.low_user_id IS 'The user whose id sorts first by bytes.';
COMMENT ON COLUMN direct_chats.high_user_id IS 'The user whose id sorts second by bytes.';
COMMENT ON COLUMN direct_chats.chat_id IS 'Their chat.';
