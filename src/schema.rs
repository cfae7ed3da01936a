// @generated automatically by Diesel CLI.

diesel::table! {
    /// Who was given a URL to download an attachment from, and when.
    attachment_downloads (id) {
        /// The entry.
        id -> Uuid,
        /// The tenant of the attachment and of the person.
        tenant_id -> Text,
        /// The attachment.
        attachment_id -> Uuid,
        /// Who was given the URL.
        user_id -> Text,
        /// When they were.
        occurred_at -> Timestamptz,
    }
}

diesel::table! {
    /// Files that somebody uploads to send them. Their bytes are kept elsewhere, under the id.
    attachments (id) {
        /// The attachment, and the key of its bytes.
        id -> Uuid,
        /// The tenant of the uploader.
        tenant_id -> Text,
        /// Who uploads it, and alone may send it.
        uploader_id -> Text,
        /// What the file is called, to be shown and never to be a path.
        name -> Text,
        /// Its media type as the uploader said, in lower case and without parameters.
        content_type -> Text,
        /// How many bytes it has.
        size -> Int8,
        /// The SHA-256 of its bytes.
        checksum -> Bytea,
        /// 0 announced, 1 here whole and checked, 2 being cleared away.
        status -> Int2,
        /// The width of an image in pixels, if its head says so.
        width -> Nullable<Int4>,
        /// The height of an image in pixels, if its head says so.
        height -> Nullable<Int4>,
        /// When it was announced.
        created_at -> Timestamptz,
        /// When it was first sent: it is kept from then on.
        sent_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// What administrators did and read by that right. Rows are only added: a trigger refuses everything else.
    audit_entries (id) {
        /// Numbers the entries, with gaps.
        id -> Int8,
        /// The tenant of the actor and of what it is about.
        tenant_id -> Text,
        /// When it was done.
        occurred_at -> Timestamptz,
        /// Who did it.
        actor_id -> Text,
        /// 0 chat read, 1 message deleted, 2 message restored, 3 chat deleted, 4 chat restored, 5 participant removed, 6 role changed, 7 tokens revoked, 8 trail read, 9 dead letters read, 10 dead letters replayed, 11 log of downloads read.
        act -> Int2,
        /// The chat, for acts 0 to 6.
        chat_id -> Nullable<Uuid>,
        /// The message, for acts 1 and 2.
        message_id -> Nullable<Uuid>,
        /// The person it was done to, for acts 5 to 7.
        user_id -> Nullable<Text>,
        /// What the act needs besides: the role, or which tokens.
        data -> Jsonb,
        /// The id of the HTTP request, or of the one that opened the WebSocket.
        request_id -> Nullable<Text>,
        /// What the actor's token is called (jti); null where it has no name.
        token_id -> Nullable<Text>,
    }
}

diesel::table! {
    /// The log of each chat but for the sends, which are the messages themselves; also the edit history and the audit trail.
    chat_events (chat_id, seq) {
        /// The chat, and the key by which the table can be distributed.
        chat_id -> Uuid,
        /// The place in the chat's log.
        seq -> Int8,
        /// The tenant of the chat.
        tenant_id -> Text,
        /// 1 message edited, 2 message deleted, 3 message restored, 4 participant added, 5 participant removed, 6 role changed, 7 chat renamed, 8 chat deleted, 9 chat restored, 10 history changed, 11 metadata changed, 12 external reference changed.
        kind -> Int2,
        /// Who did it.
        actor_id -> Nullable<Text>,
        /// When it was done.
        occurred_at -> Timestamptz,
        /// The message it was done to, for kinds 1 to 3.
        message_seq -> Nullable<Int8>,
        /// What the kind needs besides: the user and role, the title, and what stood before.
        data -> Jsonb,
        /// The id of the HTTP request, or of the one that opened the WebSocket.
        request_id -> Nullable<Text>,
        /// What the actor's token is called (jti); null where it has no name.
        token_id -> Nullable<Text>,
    }
}

diesel::table! {
    /// Where people want to be told of a chat otherwise than of others.
    chat_notification_settings (chat_id, user_id) {
        /// The chat, and the key by which the table can be distributed.
        chat_id -> Uuid,
        /// The person.
        user_id -> Text,
        /// The tenant of both.
        tenant_id -> Text,
        /// 0 everything, 1 mentions and direct chats, 2 nothing; null as the person's own settings say.
        level -> Nullable<Int2>,
        /// Whether the person has muted the chat.
        muted -> Bool,
        /// Until when it is muted; null for ever.
        muted_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Conversations. The row orders the chat's writers: a seq is taken under its lock.
    chats (id) {
        /// A version 7 UUID made by the server.
        id -> Uuid,
        /// The tenant the chat belongs to.
        tenant_id -> Text,
        /// 0 direct, 1 group.
        kind -> Int2,
        /// The title of a group; null for a direct chat.
        title -> Nullable<Text>,
        /// Who opened the chat.
        created_by -> Nullable<Text>,
        /// When the chat was opened.
        created_at -> Timestamptz,
        /// The number of the newest entry of the chat's log; the log is gapless from 1.
        last_seq -> Int8,
        /// When the newest message was sent, or the chat opened.
        last_activity_at -> Timestamptz,
        /// Grows with every change of membership, role or deletion, so that a send decided on old facts updates no row.
        acl_version -> Int8,
        /// When the chat was deleted; null while it is live.
        deleted_at -> Nullable<Timestamptz>,
        /// Who deleted the chat; null while it is live.
        deleted_by -> Nullable<Text>,
        /// How much of the log its participants see: 0 the whole, 1 from their joined_seq on.
        history -> Int2,
        /// What the application keeps with the chat, an object; null where it keeps nothing.
        metadata -> Nullable<Jsonb>,
        /// What sort of thing of the application the chat belongs to; null where it belongs to none.
        channel_type -> Nullable<Text>,
        /// Which of them; null where channel_type is.
        channel_id -> Nullable<Text>,
    }
}

diesel::table! {
    /// Deliveries that were given up. An administrator can have them tried again.
    dead_letters (tenant_id, id) {
        /// Numbers them, with gaps.
        id -> Int8,
        /// The tenant of the sink and the chat.
        tenant_id -> Text,
        /// The name of the sink.
        sink -> Text,
        /// The chat.
        chat_id -> Uuid,
        /// Whom the notification was for; empty for events.
        user_id -> Text,
        /// The event; of a notification, the newest message that it tells of.
        seq -> Int8,
        /// The oldest message that a notification tells of; null for events.
        from_seq -> Nullable<Int8>,
        /// How many times it was tried.
        attempts -> Int4,
        /// Why the last try failed: 0 unreachable, 1 address not allowed, 2 TLS, 3 timed out, 4 broken off, 5 refused for now, 6 refused for good, 7 not sent, 8 the server died.
        failure -> Int2,
        /// What the sink answered: a status of HTTP, or a code of SMTP; null where it said nothing.
        status -> Nullable<Int2>,
        /// When it was first to be delivered.
        created_at -> Timestamptz,
        /// When it was given up, by the database's clock.
        died_at -> Timestamptz,
    }
}

diesel::table! {
    /// What is to be delivered. The content is read from the log when it is; what was delivered goes.
    deliveries (lane_id, id) {
        /// The lane it waits in.
        lane_id -> Int8,
        /// The order within the lane.
        id -> Int8,
        /// The tenant of the lane.
        tenant_id -> Text,
        /// The event; of a notification, the newest message that it tells of.
        seq -> Int8,
        /// The oldest message that a notification tells of; null for events.
        from_seq -> Nullable<Int8>,
        /// How many times it was tried in vain.
        attempts -> Int4,
        /// When it came into the lane, by the database's clock.
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// The targets that something is to be delivered to: a sink and a chat, and a person where it is about one.
    delivery_lanes (id) {
        /// Numbers the lanes. A lane goes with its last delivery; the target gets another one.
        id -> Int8,
        /// The tenant of the sink and the chat.
        tenant_id -> Text,
        /// The name of the sink.
        sink -> Text,
        /// The chat.
        chat_id -> Uuid,
        /// Whom the notifications are for; empty for events.
        user_id -> Text,
        /// When the first delivery may be tried; while somebody tries it, when they count as dead.
        due_at -> Timestamptz,
        /// How many times in a row nothing could be delivered: what the wait grows with.
        failures -> Int4,
        /// Who delivers just now: a random number of each claim; null while nobody does.
        holder -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// The one direct chat of each pair of users.
    direct_chats (tenant_id, low_user_id, high_user_id) {
        /// The tenant of both users.
        tenant_id -> Text,
        /// The user whose id sorts first by bytes.
        low_user_id -> Text,
        /// The user whose id sorts second by bytes.
        high_user_id -> Text,
        /// Their chat.
        chat_id -> Uuid,
    }
}

diesel::table! {
    /// The life of this database's logs, one row. It changes when numbers could be given out a second time: after a restore.
    epoch (id) {
        /// Always 1.
        id -> Int2,
        /// Part of every event cursor: a cursor of another epoch has expired.
        value -> Uuid,
        /// When the epoch began.
        started_at -> Timestamptz,
    }
}

diesel::table! {
    /// Which attachments were sent with which message.
    message_attachments (chat_id, seq, position) {
        /// The chat, and the key by which the table can be distributed.
        chat_id -> Uuid,
        /// The message.
        seq -> Int8,
        /// The place of the attachment among those of the message, from 0 on.
        position -> Int2,
        /// The attachment.
        attachment_id -> Uuid,
        /// The tenant of the chat.
        tenant_id -> Text,
    }
}

diesel::table! {
    /// Messages. A row is also the log's "message sent" entry at its seq.
    messages (chat_id, seq) {
        /// The chat, and the key by which the table can be distributed.
        chat_id -> Uuid,
        /// The place in the chat's log.
        seq -> Int8,
        /// A version 7 UUID made by the server.
        id -> Uuid,
        /// The tenant of the chat.
        tenant_id -> Text,
        /// The author, from the token of the send. It never changes.
        sender_id -> Text,
        /// The text as it is now, kept also after deletion.
        body -> Text,
        /// The message of the same chat that this one answers.
        reply_to_seq -> Nullable<Int8>,
        /// The sender's key for the send: a retry finds the first message by it, for ever.
        idempotency_key -> Nullable<Text>,
        /// When the message was sent; it never runs backwards within a chat.
        created_at -> Timestamptz,
        /// When the body last changed.
        edited_at -> Nullable<Timestamptz>,
        /// When the message was deleted; null while it is live.
        deleted_at -> Nullable<Timestamptz>,
        /// Who deleted it: decides who may restore it.
        deleted_by -> Nullable<Text>,
        /// A line above the text; null where the message has none.
        subject -> Nullable<Text>,
        /// What the application keeps with the message, an object; null where it keeps nothing.
        metadata -> Nullable<Jsonb>,
        /// Of a forwarded message, the first original: its chat, place, id, author and time. It never changes.
        forwarded_from -> Nullable<Jsonb>,
    }
}

diesel::table! {
    /// Whom there is something to tell, once they have had the time to read it themselves: at most one notice of a person and a chat, however many messages there are. All times are the database's.
    notices (tenant_id, user_id, chat_id) {
        /// The tenant of the person and the chat.
        tenant_id -> Text,
        /// The person.
        user_id -> Text,
        /// The chat.
        chat_id -> Uuid,
        /// The oldest message to tell of.
        from_seq -> Int8,
        /// The newest message to tell of.
        seq -> Int8,
        /// Whether one of them mentions the person.
        mentioned -> Bool,
        /// Whether one of them is critical.
        critical -> Bool,
        /// When the oldest of them was put here.
        begun_at -> Timestamptz,
        /// When to tell the person, if they have not read it by then.
        due_at -> Timestamptz,
    }
}

diesel::table! {
    /// Of what people are told while they are away. Who has no row is told of everything, at any hour.
    notification_settings (tenant_id, user_id) {
        /// The tenant of the person.
        tenant_id -> Text,
        /// The person.
        user_id -> Text,
        /// 0 everything, 1 mentions and direct chats, 2 nothing.
        level -> Int2,
        /// When the quiet hours begin each day, in minutes after midnight; null where there are none.
        quiet_from -> Nullable<Int2>,
        /// When they end; on the next day, where it is not after their beginning.
        quiet_to -> Nullable<Int2>,
        /// The time zone of both, by its name in the IANA database.
        time_zone -> Nullable<Text>,
    }
}

diesel::table! {
    /// Events that no delivery has been made of yet, of tenants that have a sink.
    outbox (id) {
        /// Numbers the entries, with gaps; those of one chat in the order of its log.
        id -> Int8,
        /// The tenant of the chat.
        tenant_id -> Text,
        /// The chat.
        chat_id -> Uuid,
        /// The event: the place in the chat's log.
        seq -> Int8,
        /// When the event was written, by the database's clock.
        written_at -> Timestamptz,
    }
}

diesel::table! {
    /// Who is in which chat now. Who was in it before stands in chat_events.
    participants (chat_id, user_id) {
        /// The chat.
        chat_id -> Uuid,
        /// The person.
        user_id -> Text,
        /// The tenant of both.
        tenant_id -> Text,
        /// 0 member, 1 admin, 2 owner.
        role -> Int2,
        /// When the person was added, last time.
        joined_at -> Timestamptz,
        /// The log entry that added the person, last time; 1 for who is in the chat from its start.
        joined_seq -> Int8,
        /// The read mark: everything up to this log entry is read. It never moves back.
        read_seq -> Int8,
        /// The delivery mark: a device of the person has everything up to this log entry. What is read is delivered, so the greater of both marks holds.
        delivered_seq -> Int8,
    }
}

diesel::table! {
    /// Who is connected to which server. A person is online while one of their servers' rows has not expired.
    presences (tenant_id, user_id, server_id) {
        /// The tenant of the person.
        tenant_id -> Text,
        /// The person.
        user_id -> Text,
        /// The server.
        server_id -> Int8,
        /// When the person arrived there.
        arrived_at -> Timestamptz,
    }
}

diesel::table! {
    /// When people's marks moved. Rows are removed when they are old.
    receipts (chat_id, user_id, kind, seq) {
        /// The chat, and the key by which the table can be distributed.
        chat_id -> Uuid,
        /// Whose mark it is.
        user_id -> Text,
        /// 0 read, 1 delivered.
        kind -> Int2,
        /// To where the mark moved.
        seq -> Int8,
        /// From where: what stands up to there was passed before.
        from_seq -> Int8,
        /// The tenant of the chat.
        tenant_id -> Text,
        /// When it moved.
        marked_at -> Timestamptz,
    }
}

diesel::table! {
    /// Tokens that are not accepted any more although their time is not over.
    revocations (revision) {
        /// Grows with every change: servers read on from the last one they know.
        revision -> Int8,
        /// The tenant of the user.
        tenant_id -> Text,
        /// Whose tokens they are.
        user_id -> Text,
        /// The one token (jti); empty for all that were issued before a moment.
        token_id -> Text,
        /// Tokens issued up to this moment are revoked, in whole seconds; of one token, when it was revoked.
        issued_before -> Timestamptz,
        /// From when on the tokens have expired anyway, and the row can go; null where that is not known.
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// The servers that people are connected to. A row that has expired is of a server that stopped or died.
    servers (id) {
        /// The random number under which the server also rings the doorbell.
        id -> Int8,
        /// When the server last renewed the row, by the database's clock.
        seen_at -> Timestamptz,
        /// Until when the row holds without being renewed.
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    /// Where servers deliver to, as the last one that started with a file of sinks read it. No secrets: those stand in the file.
    sinks (tenant_id, name) {
        /// The tenant whose events and notifications it gets.
        tenant_id -> Text,
        /// What the operator calls it.
        name -> Text,
        /// 0 webhook, 1 PubNub, 2 SMTP.
        kind -> Int2,
        /// Whether it gets every event of the tenant's chats.
        events -> Bool,
        /// Whether it gets the notifications of people who are away.
        notifications -> Bool,
    }
}

diesel::table! {
    /// Messages that somebody keeps at hand. Each is one person's alone.
    stars (chat_id, user_id, seq) {
        /// The chat, and the key by which the table can be distributed.
        chat_id -> Uuid,
        /// Whose star it is.
        user_id -> Text,
        /// The message.
        seq -> Int8,
        /// The tenant of the chat.
        tenant_id -> Text,
        /// When the message was starred: the order of the person's list.
        starred_at -> Timestamptz,
    }
}

diesel::table! {
    /// People as the application's identity provider knows them, one row per tenant and subject.
    users (tenant_id, id) {
        /// The tenant the person belongs to; every other table repeats it.
        tenant_id -> Text,
        /// The subject of the person's tokens.
        id -> Text,
        /// The name claim of the newest token that carried one.
        display_name -> Nullable<Text>,
        /// When the token that gave display_name was issued.
        display_name_at -> Nullable<Timestamptz>,
        /// The picture claim of the newest token that carried one.
        avatar_url -> Nullable<Text>,
        /// When the token that gave avatar_url was issued.
        avatar_url_at -> Nullable<Timestamptz>,
        /// When the person was first seen: by a token, or by being added to a chat.
        created_at -> Timestamptz,
        /// When the person last left a server; null until then.
        last_seen_at -> Nullable<Timestamptz>,
        /// Whether the person lets others see whether they are online.
        presence_visible -> Bool,
        /// Whether the person lets others see what they have read and received.
        receipts_visible -> Bool,
    }
}

diesel::joinable!(direct_chats -> chats (chat_id));
diesel::joinable!(participants -> chats (chat_id));
diesel::joinable!(presences -> servers (server_id));

diesel::allow_tables_to_appear_in_same_query!(
    attachment_downloads,
    attachments,
    audit_entries,
    chat_events,
    chat_notification_settings,
    chats,
    dead_letters,
    deliveries,
    delivery_lanes,
    direct_chats,
    epoch,
    message_attachments,
    messages,
    notices,
    notification_settings,
    outbox,
    participants,
    presences,
    receipts,
    revocations,
    servers,
    sinks,
    stars,
    users,
);
