// The tabs a newcomer finds: each runs as it is. Lines of comments are short enough for half a window.

const SIGN_IN = `# You are not signed in. Either open this page as
#   /#token=<token>
# or put the token into the Headers editor below:
#   {"Authorization": "Bearer <token>"}
#
`;

const INBOX = `# Who you are, and your chats.
# Run it with Ctrl+Enter (⌘+Enter).
query Inbox {
  viewer {
    id
    displayName
  }
  chats(first: 10) {
    nodes {
      id
      kind
      title
      unreadCount
      participants(first: 10) {
        nodes {
          role
          user {
            id
            displayName
          }
        }
      }
      lastMessage {
        ...MessageParts
      }
      messages(last: 10) {
        nodes {
          ...MessageParts
        }
      }
      eventCursor
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}

fragment MessageParts on Message {
  id
  sender {
    id
  }
  body
  createdAt
}
`;

const OPEN_DIRECT_CHAT = `# Opens the direct chat with a user, or finds it again.
# The other tabs take the chat's id from the answer.
mutation OpenDirectChat($userId: ID!) {
  openDirectChat(input: { userId: $userId }) {
    chat {
      id
      kind
      eventCursor
      participants(first: 10) {
        nodes {
          user {
            id
            displayName
          }
        }
      }
    }
    userErrors {
      code
      message
      field
    }
  }
}
`;

const SEND_MESSAGE = `# An empty chatId is filled in when this tab is opened
# after Inbox or OpenDirectChat has run.
mutation SendMessage($chatId: ID!, $body: String!) {
  sendMessage(input: { chatId: $chatId, body: $body }) {
    message {
      id
      body
      createdAt
    }
    userErrors {
      code
      message
      field
    }
  }
}
`;

const CHAT_EVENTS = `# Every event of one chat, live; the latest is shown.
# Leaving this tab ends the stream: send from another
# window. With a cursor as "after" (a chat's eventCursor
# or eventStartCursor, or an event's own cursor), it
# goes on from there without a gap.
subscription ChatEvents($chatId: ID!, $after: String) {
  chatEvents(chatId: $chatId, after: $after) {
    __typename
    cursor
    occurredAt
    actor {
      id
    }
    ... on MessageSent {
      message {
        ...MessageParts
      }
    }
    ... on MessageEdited {
      message {
        ...MessageParts
      }
    }
    ... on MessageDeleted {
      message {
        ...MessageParts
      }
    }
    ... on MessageRestored {
      message {
        ...MessageParts
      }
    }
    ... on ParticipantAdded {
      user {
        id
      }
      role
    }
    ... on ParticipantRemoved {
      user {
        id
      }
    }
    ... on ParticipantRoleChanged {
      user {
        id
      }
      role
    }
    ... on ChatRenamed {
      title
    }
    ... on ChatDeleted {
      chat {
        deletedAt
      }
    }
    ... on ChatRestored {
      chat {
        lastActivityAt
      }
    }
  }
}

fragment MessageParts on Message {
  id
  sender {
    id
  }
  body
  editedAt
  deletedAt
}
`;

const CHAT_UPDATES = `# One item whenever one of your chats changes.
# Start it, then send as somebody else.
subscription ChatUpdates {
  chatUpdates {
    kind
    chatId
    chat {
      title
      unreadCount
      lastMessage {
        sender {
          id
        }
        body
        createdAt
      }
    }
  }
}
`;

/** The tabs for a user, with headers that sign each of them in. */
export function defaultTabs(user, headers) {
  const tab = (query, variables) => ({
    query,
    variables: variables ? JSON.stringify(variables, null, 2) : '',
    headers,
  });
  const peer = user === 'alice' ? 'bob' : 'alice';
  return [
    tab(headers ? INBOX : SIGN_IN + INBOX),
    tab(OPEN_DIRECT_CHAT, { userId: peer }),
    tab(SEND_MESSAGE, { chatId: '', body: `Hello from ${user || 'GraphiQL'}` }),
    tab(CHAT_EVENTS, { chatId: '', after: null }),
    tab(CHAT_UPDATES),
  ];
}

/** The chat that a result is about, or the first that it lists. */
export function chatIdIn(result) {
  const data = result?.data;
  const chat = data?.openDirectChat?.chat ?? data?.createGroupChat?.chat ?? data?.chats?.nodes?.[0];
  return chat?.id ?? null;
}

/** The variables with an empty `chatId` filled in, or null where there is none to fill in. */
export function withChatId(variables, chatId) {
  try {
    const values = JSON.parse(variables);
    return values.chatId === '' ? JSON.stringify({ ...values, chatId }, null, 2) : null;
  } catch {
    return null;
  }
}
