-- A chat that is deleted keeps its reference: it can be restored.
CREATE UNIQUE INDEX CONCURRENTLY chats_channel_key ON chats (tenant_id, channel_type, channel_id) WHERE channel_type IS NOT NULL;
