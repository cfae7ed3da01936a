//! Where an id or a cursor can be handed in, and how each such place is attacked.

/// One way to hand in what is another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// The place: the type, the field, the argument, the fields of its inputs. Without an argument, a root
    /// field that takes neither ids nor cursors.
    pub(super) at: &'static str,
    /// The operation. `@` stands for what is handed in, `@CHAT`, `@MESSAGE`, `@USER`, `@EVENT`, `@TYPE` and `@ITEM` for what
    /// belongs to the same owner, `OWN` and `OWN_MESSAGE` for the attacker's own.
    pub(super) document: &'static str,
}

const fn case(at: &'static str, document: &'static str) -> Case {
    Case { at, document }
}

/// Texts that name nothing of anybody's.
pub(super) const TEXTS: &[&str] = &[
    "Query.chats.filter.titleContains",
    "Chat.messages.filter.textContains",
    "Mutation.createGroupChat.input.title",
    "Mutation.renameChat.input.title",
    "Mutation.sendMessage.input.body",
    // A key is its sender's own within a chat: the attacks on the chat use one that its owner used.
    "Mutation.sendMessage.input.idempotencyKey",
    "Mutation.sendMessage.input.subject",
    "Mutation.editMessage.input.body",
    "Mutation.editMessage.input.subject",
    // A key is its sender's own within a chat.
    "Mutation.forwardMessages.input.idempotencyKey",
    // A thing of the application has one chat: that it has one is told to whoever wants to take it.
    "Mutation.createGroupChat.input.externalReference.channelType",
    "Mutation.createGroupChat.input.externalReference.channelId",
    "Mutation.changeChatExternalReference.input.externalReference.channelType",
    "Mutation.changeChatExternalReference.input.externalReference.channelId",
    // What a file is called, and what it is.
    "Mutation.createUpload.input.name",
    "Mutation.createUpload.input.contentType",
    "Mutation.createUpload.input.checksum",
    // Times of the day, and the name of a time zone.
    "Mutation.updateNotificationSettings.input.quietHours.start",
    "Mutation.updateNotificationSettings.input.quietHours.end",
    "Mutation.updateNotificationSettings.input.quietHours.timeZone",
    // A token's name means something together with its bearer alone.
    "Mutation.revokeTokens.input.tokenId",
    "Query.auditRecords.filter.tokenId",
];

/// Where a person may be named whom the attacker need not share a chat with: it makes the person exist for the
/// attacker's tenant, and a chat of the attacker's own.
pub(super) const MAKES: &[&str] = &[
    "Mutation.openDirectChat.input.userId",
    "Mutation.createGroupChat.input.participantIds",
    "Mutation.addParticipants.input.userIds",
];

/// Where an administrator names a person of their tenant, known or not, or what was given up; everybody else is refused.
pub(super) const ADMINISTERS: &[&str] = &[
    "Mutation.revokeTokens.input.userId",
    "Mutation.replayDeadLetters.input.ids",
    "Query.deadLetters.after",
    "Query.deadLetters.before",
    "Query.auditRecords.after",
    "Query.auditRecords.before",
    "Query.auditRecords.filter.actorId",
    "Query.auditRecords.filter.chatId",
    "Query.auditRecords.filter.userId",
    "Query.attachmentDownloads.attachmentId",
    "Query.attachmentDownloads.after",
    "Query.attachmentDownloads.before",
];

/// Where the schema says that whoever was ever seen in one's own tenant is found.
pub(super) const DIRECTORY: &[&str] = &["Query.user.id", "Query.node.id", "Query.nodes.ids"];

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("Query.viewer", "{ viewer { id } }"),
    case("Query.chats", "{ chats { nodes { id title lastMessage { body } } } }"),
    case("Query.chats", "{ chats(filter: { includeDeleted: true }) { nodes { id title } } }"),
    case("Query.chats.after", "{ chats(after: \"@\") { nodes { id } pageInfo { hasPreviousPage hasNextPage } } }"),
    case("Query.chats.before", "{ chats(before: \"@\") { nodes { id } pageInfo { hasPreviousPage hasNextPage } } }"),
    case("Query.deadLetters", "{ deadLetters { nodes { id chatId } } }"),
    case("Query.deadLetters.after", "{ deadLetters(after: \"@\") { nodes { id } pageInfo { hasPreviousPage hasNextPage } } }"),
    case("Query.deadLetters.before", "{ deadLetters(before: \"@\") { nodes { id } pageInfo { hasPreviousPage hasNextPage } } }"),
    case("Query.chat.id", "{ chat(id: \"@\") { id title deletedAt eventCursor unreadCount lastMessage { body }
        messages { nodes { body } } participants { nodes { user { id displayName } } } viewerParticipant { id } } }"),
    case("Query.chatByExternalReference.channelType", "{ chatByExternalReference(channelType: \"@\", channelId: \"@ITEM\") { id title } }"),
    case("Query.chatByExternalReference.channelId", "{ chatByExternalReference(channelType: \"@TYPE\", channelId: \"@\") { id title } }"),
    case("Query.node.id", "{ node(id: \"@\") { __typename id ... on Message { body chat { title } }
        ... on Chat { title } ... on Participant { role } } }"),
    case("Query.node.id", "{ node(id: \"@\") { ... on Attachment { name downloadUrl uploader { id } } } }"),
    case("Query.attachmentDownloads.attachmentId", "{ attachmentDownloads(attachmentId: \"@\") { nodes { attachmentId user { id } } } }"),
    case("Query.attachmentDownloads.after", "{ attachmentDownloads(after: \"@\") { nodes { attachmentId } } }"),
    case("Query.attachmentDownloads.before", "{ attachmentDownloads(before: \"@\") { nodes { attachmentId } } }"),
    case("Query.nodes.ids", "{ nodes(ids: [\"@\"]) { __typename id ... on Message { body chat { title } } } }"),
    case("Query.nodes.ids", "{ nodes(ids: [\"OWN\", \"@\", \"OWN_MESSAGE\", \"@CHAT\", \"@MESSAGE\"]) { __typename } }"),
    case("Query.auditRecords.after", "{ auditRecords(after: \"@\") { nodes { action } } }"),
    case("Query.auditRecords.before", "{ auditRecords(before: \"@\") { nodes { action } } }"),
    case("Query.auditRecords.filter.actorId", "{ auditRecords(filter: { actorId: \"@\" }) { nodes { action } } }"),
    case("Query.auditRecords.filter.chatId", "{ auditRecords(filter: { chatId: \"@\" }) { nodes { action } } }"),
    case("Query.auditRecords.filter.userId", "{ auditRecords(filter: { userId: \"@\" }) { nodes { action } } }"),
    case("Query.user.id", "{ user(id: \"@\") { id displayName } }"),
    case("Chat.messages.after", "{ chat(id: \"OWN\") { messages(after: \"@\") { nodes { body } pageInfo { hasPreviousPage } } } }"),
    case("Chat.messages.after", "{ chat(id: \"@CHAT\") { messages(after: \"@\") { nodes { body } pageInfo { hasPreviousPage } } } }"),
    case("Chat.messages.before", "{ chat(id: \"OWN\") { messages(before: \"@\") { nodes { body } pageInfo { hasNextPage } } } }"),
    case("Chat.messages.before", "{ chat(id: \"@CHAT\") { messages(before: \"@\", last: 2) { nodes { body } } } }"),
    case("Chat.messages.filter.senderIds", "{ chat(id: \"OWN\") { messages(filter: { senderIds: [\"@\"] }) { nodes { body } } } }"),
    case("Chat.messages.filter.senderIds", "{ chat(id: \"@CHAT\") { messages(filter: { senderIds: [\"@\"] }) { nodes { body } } } }"),
    case("Chat.messages.filter.replyToId", "{ chat(id: \"OWN\") { messages(filter: { replyToId: \"@\" }) { nodes { body } } } }"),
    case("Chat.messages.filter.replyToId", "{ chat(id: \"@CHAT\") { messages(filter: { replyToId: \"@\" }) { nodes { body } } } }"),
    case("Message.replies.after", "{ chat(id: \"OWN\") { messages { nodes { replies(after: \"@\") { nodes { body } } } } } }"),
    case("Message.replies.after", "{ node(id: \"@MESSAGE\") { ... on Message { replies(after: \"@\") { nodes { body } pageInfo { hasPreviousPage } } } } }"),
    case("Message.replies.before", "{ chat(id: \"OWN\") { messages { nodes { replies(before: \"@\") { nodes { body } } } } } }"),
    case("Message.replies.before", "{ node(id: \"@MESSAGE\") { ... on Message { replies(before: \"@\") { nodes { body } pageInfo { hasNextPage } } } } }"),
    case("Message.revisions.after", "{ chat(id: \"OWN\") { messages { nodes { revisions(after: \"@\") { nodes { body } } } } } }"),
    case("Message.revisions.after", "{ node(id: \"@MESSAGE\") { ... on Message { revisions(after: \"@\") { nodes { body } pageInfo { hasPreviousPage } } } } }"),
    case("Message.revisions.before", "{ chat(id: \"OWN\") { messages { nodes { revisions(before: \"@\") { nodes { body } } } } } }"),
    case("Message.revisions.before", "{ node(id: \"@MESSAGE\") { ... on Message { revisions(before: \"@\") { nodes { body } pageInfo { hasNextPage } } } } }"),
    case("Message.readBy.after", "{ chat(id: \"OWN\") { messages { nodes { readBy(after: \"@\") { nodes { user { id } } } } } } }"),
    case("Message.readBy.after", "{ node(id: \"@MESSAGE\") { ... on Message { readBy(after: \"@\") { nodes { user { id } } pageInfo { hasPreviousPage } } } } }"),
    case("Message.readBy.before", "{ chat(id: \"OWN\") { messages { nodes { readBy(before: \"@\") { nodes { user { id } } } } } } }"),
    case("Message.readBy.before", "{ node(id: \"@MESSAGE\") { ... on Message { readBy(before: \"@\") { nodes { user { id } } pageInfo { hasNextPage } } } } }"),
    case("Message.deliveredTo.after", "{ chat(id: \"OWN\") { messages { nodes { deliveredTo(after: \"@\") { nodes { user { id } } } } } } }"),
    case("Message.deliveredTo.after", "{ node(id: \"@MESSAGE\") { ... on Message { deliveredTo(after: \"@\") { nodes { user { id } } pageInfo { hasPreviousPage } } } } }"),
    case("Message.deliveredTo.before", "{ chat(id: \"OWN\") { messages { nodes { deliveredTo(before: \"@\") { nodes { user { id } } } } } } }"),
    case("Message.deliveredTo.before", "{ node(id: \"@MESSAGE\") { ... on Message { deliveredTo(before: \"@\") { nodes { user { id } } pageInfo { hasNextPage } } } } }"),
    case("User.starredMessages.after", "{ viewer { starredMessages(after: \"@\") { nodes { body } pageInfo { hasPreviousPage } } } }"),
    case("User.starredMessages.before", "{ viewer { starredMessages(before: \"@\") { nodes { body } pageInfo { hasNextPage } } } }"),
    case("Chat.participants.after", "{ chat(id: \"OWN\") { participants(after: \"@\") { nodes { id } pageInfo { hasPreviousPage } } } }"),
    case("Chat.participants.after", "{ chat(id: \"@CHAT\") { participants(after: \"@\") { nodes { id } } } }"),
    case("Chat.participants.before", "{ chat(id: \"OWN\") { participants(before: \"@\") { nodes { id } pageInfo { hasNextPage } } } }"),
    case("Chat.participants.before", "{ chat(id: \"@CHAT\") { participants(before: \"@\") { nodes { id } } } }"),

    case("Subscription.chatEvents.chatId", "subscription { chatEvents(chatId: \"@\") { cursor } }"),
    case("Subscription.chatEvents.chatId", "subscription { chatEvents(chatId: \"@\", after: \"@EVENT\") { cursor chat { title } } }"),
    case("Subscription.chatEvents.after", "subscription { chatEvents(chatId: \"OWN\", after: \"@\") { cursor } }"),
    case("Subscription.chatEvents.after", "subscription { chatEvents(chatId: \"@CHAT\", after: \"@\") { cursor } }"),
    case("Subscription.chatSignals.chatId", "subscription { chatSignals(chatId: \"@\") { __typename user { id } } }"),
    // It takes nothing: `nobody_hears_of_what_is_anothers` listens to it.
    case("Subscription.chatUpdates", "subscription { chatUpdates { kind chatId } }"),

    case("Mutation.renameChat.input.chatId", "mutation { renameChat(input: { chatId: \"@\", title: \"New\" })
        { chat { id title } userErrors { code message field } } }"),
    case("Mutation.changeChatHistory.input.chatId", "mutation { changeChatHistory(input: { chatId: \"@\", history: SINCE_JOINING })
        { chat { id title } userErrors { code message field } } }"),
    case("Mutation.changeChatMetadata.input.chatId", "mutation { changeChatMetadata(input: { chatId: \"@\", metadata: { a: 1 } })
        { chat { id metadata } userErrors { code message field } } }"),
    case("Mutation.changeChatExternalReference.input.chatId", "mutation { changeChatExternalReference(input: { chatId: \"@\" })
        { chat { id externalReference { channelId } } userErrors { code message field } } }"),
    case("Mutation.deleteChat.input.chatId", "mutation { deleteChat(input: { chatId: \"@\" }) { chat { id title } userErrors { code message field } } }"),
    case("Mutation.restoreChat.input.chatId", "mutation { restoreChat(input: { chatId: \"@\" }) { chat { id title } userErrors { code message field } } }"),
    case("Mutation.leaveChat.input.chatId", "mutation { leaveChat(input: { chatId: \"@\" }) { chat { id } userErrors { code message field } } }"),
    case("Mutation.addParticipants.input.chatId", "mutation { addParticipants(input: { chatId: \"@\", userIds: [\"eve\"] })
        { participants { user { id } } userErrors { code message field } } }"),
    case("Mutation.addParticipants.input.chatId", "mutation { addParticipants(input: { chatId: \"@\", userIds: [\"@USER\"], role: OWNER })
        { participants { user { id } } userErrors { code message field } } }"),
    case("Mutation.removeParticipant.input.chatId", "mutation { removeParticipant(input: { chatId: \"@\", userId: \"@USER\" })
        { chat { id title } userErrors { code message field } } }"),
    case("Mutation.removeParticipant.input.userId", "mutation { removeParticipant(input: { chatId: \"OWN\", userId: \"@\" })
        { chat { id title } userErrors { code message field } } }"),
    case("Mutation.removeParticipant.input.userId", "mutation { removeParticipant(input: { chatId: \"@CHAT\", userId: \"@\" })
        { chat { id participants { nodes { user { id } } } } userErrors { code message field } } }"),
    case("Mutation.changeParticipantRole.input.chatId", "mutation { changeParticipantRole(input: { chatId: \"@\", userId: \"@USER\", role: ADMIN })
        { participant { id role } userErrors { code message field } } }"),
    case("Mutation.changeParticipantRole.input.userId", "mutation { changeParticipantRole(input: { chatId: \"OWN\", userId: \"@\", role: ADMIN })
        { participant { id role } userErrors { code message field } } }"),
    case("Mutation.changeParticipantRole.input.userId", "mutation { changeParticipantRole(input: { chatId: \"@CHAT\", userId: \"@\", role: ADMIN })
        { participant { id role } userErrors { code message field } } }"),
    case("Mutation.sendMessage.input.chatId", "mutation { sendMessage(input: { chatId: \"@\", body: \"hi\" })
        { message { id body } userErrors { code message field } } }"),
    case("Mutation.sendMessage.input.chatId", "mutation { sendMessage(input: { chatId: \"@\", body: \"hi\", idempotencyKey: \"key\", replyToId: \"@MESSAGE\" })
        { message { id body } userErrors { code message field } } }"),
    case("Mutation.sendMessage.input.replyToId", "mutation { sendMessage(input: { chatId: \"OWN\", body: \"hi\", replyToId: \"@\" })
        { message { id replyTo { body } } userErrors { code message field } } }"),
    case("Mutation.sendMessage.input.replyToId", "mutation { sendMessage(input: { chatId: \"@CHAT\", body: \"hi\", replyToId: \"@\" })
        { message { id replyTo { body } } userErrors { code message field } } }"),
    case("Mutation.forwardMessages.input.messageIds", "mutation { forwardMessages(input: { messageIds: [\"@\"], chatIds: [\"OWN\"] })
        { messages { id body } userErrors { code message field } } }"),
    case("Mutation.forwardMessages.input.messageIds", "mutation { forwardMessages(input: { messageIds: [\"OWN_MESSAGE\", \"@\"], chatIds: [\"@CHAT\"] })
        { messages { id body } userErrors { code message field } } }"),
    case("Mutation.forwardMessages.input.chatIds", "mutation { forwardMessages(input: { messageIds: [\"OWN_MESSAGE\"], chatIds: [\"@\"] })
        { messages { id body } userErrors { code message field } } }"),
    case("Mutation.forwardMessages.input.chatIds", "mutation { forwardMessages(input: { messageIds: [\"OWN_MESSAGE\"], chatIds: [\"OWN\", \"@\"] })
        { messages { id body } userErrors { code message field } } }"),
    case("Mutation.sendMessage.input.attachmentIds", "mutation { sendMessage(input: { chatId: \"OWN\", attachmentIds: [\"@\"] })
        { message { id attachments { name } } userErrors { code message field } } }"),
    case("Mutation.sendMessage.input.attachmentIds", "mutation { sendMessage(input: { chatId: \"@CHAT\", body: \"hi\", attachmentIds: [\"@\"] })
        { message { id attachments { name } } userErrors { code message field } } }"),
    case("Mutation.editMessage.input.messageId", "mutation { editMessage(input: { messageId: \"@\", body: \"new\" })
        { message { id body } userErrors { code message field } } }"),
    case("Mutation.deleteMessage.input.messageId", "mutation { deleteMessage(input: { messageId: \"@\" })
        { message { id body } userErrors { code message field } } }"),
    case("Mutation.restoreMessage.input.messageId", "mutation { restoreMessage(input: { messageId: \"@\" })
        { message { id body } userErrors { code message field } } }"),
    case("Mutation.starMessage.input.messageId", "mutation { starMessage(input: { messageId: \"@\" })
        { message { id body viewerHasStarred } userErrors { code message field } } }"),
    case("Mutation.unstarMessage.input.messageId", "mutation { unstarMessage(input: { messageId: \"@\" })
        { message { id body viewerHasStarred } userErrors { code message field } } }"),
    case("Mutation.createUpload", "mutation { createUpload(input: { name: \"\", contentType: \"text/plain\", size: 1, checksum: \"\" })
        { attachment { id } userErrors { code message field } } }"),
    case("Mutation.finalizeUpload.input.attachmentId", "mutation { finalizeUpload(input: { attachmentId: \"@\" })
        { attachment { id name } userErrors { code message field } } }"),
    case("Mutation.markChatRead.input.chatId", "mutation { markChatRead(input: { chatId: \"@\", messageId: \"@MESSAGE\" })
        { chat { id unreadCount } userErrors { code message field } } }"),
    case("Mutation.markChatRead.input.messageId", "mutation { markChatRead(input: { chatId: \"OWN\", messageId: \"@\" })
        { chat { id unreadCount } userErrors { code message field } } }"),
    case("Mutation.markChatRead.input.messageId", "mutation { markChatRead(input: { chatId: \"@CHAT\", messageId: \"@\" })
        { chat { id unreadCount } userErrors { code message field } } }"),
    case("Mutation.markChatDelivered.input.marks.chatId", "mutation { markChatDelivered(input: { marks: [{ chatId: \"@\", messageId: \"@MESSAGE\" }] })
        { chats { id } userErrors { code message field } } }"),
    case("Mutation.markChatDelivered.input.marks.messageId", "mutation { markChatDelivered(input: { marks: [{ chatId: \"OWN\", messageId: \"@\" }, { chatId: \"OWN\", messageId: \"OWN_MESSAGE\" }] })
        { chats { id } userErrors { code message field } } }"),
    case("Mutation.markChatDelivered.input.marks.messageId", "mutation { markChatDelivered(input: { marks: [{ chatId: \"@CHAT\", messageId: \"@\" }] })
        { chats { id } userErrors { code message field } } }"),
    case("Mutation.setTyping.input.chatId", "mutation { setTyping(input: { chatId: \"@\", typing: true }) { chat { id } userErrors { code message field } } }"),
    case("Mutation.updateNotificationSettings", "mutation { updateNotificationSettings(input: {}) { viewer { id } userErrors { code message field } } }"),
    case("Mutation.setChatNotificationLevel.input.chatId", "mutation { setChatNotificationLevel(input: { chatId: \"@\", level: NONE })
        { chat { id viewerNotificationSettings { level } } userErrors { code message field } } }"),
    case("Mutation.muteChat.input.chatId", "mutation { muteChat(input: { chatId: \"@\" })
        { chat { id viewerNotificationSettings { muted } } userErrors { code message field } } }"),
    case("Mutation.unmuteChat.input.chatId", "mutation { unmuteChat(input: { chatId: \"@\" })
        { chat { id viewerNotificationSettings { muted } } userErrors { code message field } } }"),
    case("Mutation.replayDeadLetters.input.ids", "mutation { replayDeadLetters(input: { ids: [\"@\"] }) { replayedIds userErrors { code message field } } }"),
    case("Mutation.revokeTokens.input.userId", "mutation { revokeTokens(input: { userId: \"@\" }) { revocation { user { id } } userErrors { code message field } } }"),
    case("Mutation.setReceiptVisibility", "mutation { setReceiptVisibility(input: { visible: true }) { userErrors { code message field } } }"),
    case("Mutation.setPresenceVisibility", "mutation { setPresenceVisibility(input: { visible: true }) { userErrors { code message field } } }"),
    // These make something of the attacker's own, so they come last.
    case("Mutation.addParticipants.input.userIds", "mutation { addParticipants(input: { chatId: \"OWN\", userIds: [\"@\"] })
        { participants { user { id } role } userErrors { code message field } } }"),
    case("Mutation.openDirectChat.input.userId", "mutation { openDirectChat(input: { userId: \"@\" })
        { chat { kind title participants { nodes { user { id } } } messages { nodes { body } } } userErrors { code message field } } }"),
    case("Mutation.createGroupChat.input.participantIds", "mutation { createGroupChat(input: { title: \"Mine\", participantIds: [\"@\"] })
        { chat { title participants { nodes { user { id } } } } userErrors { code message field } } }"),
];
