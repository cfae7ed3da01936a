DROP INDEX CONCURRENTLY chats_channel_key;
