-- Few messages are replies, and those that are not take no part in it.
CREATE INDEX CONCURRENTLY messages_reply_to_seq_idx ON messages (chat_id, reply_to_seq, seq)
    WHERE reply_to_seq IS NOT NULL;
