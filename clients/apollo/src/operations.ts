/** Every GraphQL document of the project. The code generator reads this file and types each one. */

import { graphql } from "./gql/gql.js";
import type { ChatEventsSubscription, ChatUpdatesSubscription, MessageFieldsFragment } from "./gql/graphql.js";

export type ChatEvent = ChatEventsSubscription["chatEvents"];
export type ChatUpdate = ChatUpdatesSubscription["chatUpdates"];
export type Message = MessageFieldsFragment;

export const MessageFields = graphql(`
  fragment MessageFields on Message {
    id
    body
    createdAt
    editedAt
    deletedAt
    sender {
      id
      displayName
    }
  }
`);

/** The newest page, and with it the place in the log from which `chatEvents` carries on. */
export const ChatPage = graphql(`
  query ChatPage($chatId: ID!, $last: Int!) {
    chat(id: $chatId) {
      id
      kind
      title
      eventCursor
      messages(last: $last) {
        edges {
          node {
            ...MessageFields
          }
        }
        pageInfo {
          hasPreviousPage
          startCursor
        }
      }
    }
  }
`);

/**
 * One page further back. It leaves `eventCursor` alone on purpose: the cached one belongs to the newest page,
 * and a later one in its place would skip whatever was sent between the two answers.
 */
export const OlderMessages = graphql(`
  query OlderMessages($chatId: ID!, $last: Int!, $before: String!) {
    chat(id: $chatId) {
      id
      messages(last: $last, before: $before) {
        edges {
          node {
            ...MessageFields
          }
        }
        pageInfo {
          hasPreviousPage
          startCursor
        }
      }
    }
  }
`);

/**
 * What all events share is selected on the interface itself, so that a kind of event added to the server later
 * still brings its cursor to a client built before.
 */
export const ChatEvents = graphql(`
  subscription ChatEvents($chatId: ID!, $after: String!) {
    chatEvents(chatId: $chatId, after: $after) {
      __typename
      cursor
      occurredAt
      actor {
        id
      }
      chat {
        id
        title
        deletedAt
      }
      ... on MessageSent {
        message {
          ...MessageFields
        }
      }
      ... on MessageEdited {
        message {
          ...MessageFields
        }
      }
      ... on MessageDeleted {
        message {
          ...MessageFields
        }
      }
      ... on MessageRestored {
        message {
          ...MessageFields
        }
      }
      ... on ParticipantAdded {
        role
        user {
          id
          displayName
        }
      }
      ... on ParticipantRemoved {
        user {
          id
          displayName
        }
      }
    }
  }
`);

export const ChatUpdates = graphql(`
  subscription ChatUpdates {
    chatUpdates {
      kind
      chatId
      chat {
        id
        title
        unreadCount
      }
    }
  }
`);

export const Viewer = graphql(`
  query Viewer {
    viewer {
      id
      displayName
    }
  }
`);

export const SendMessage = graphql(`
  mutation SendMessage($input: SendMessageInput!) {
    sendMessage(input: $input) {
      message {
        ...MessageFields
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const EditMessage = graphql(`
  mutation EditMessage($input: EditMessageInput!) {
    editMessage(input: $input) {
      message {
        ...MessageFields
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const OpenDirectChat = graphql(`
  mutation OpenDirectChat($input: OpenDirectChatInput!) {
    openDirectChat(input: $input) {
      chat {
        id
        kind
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const CreateGroupChat = graphql(`
  mutation CreateGroupChat($input: CreateGroupChatInput!) {
    createGroupChat(input: $input) {
      chat {
        id
        title
        eventCursor
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

export const RemoveParticipant = graphql(`
  mutation RemoveParticipant($input: RemoveParticipantInput!) {
    removeParticipant(input: $input) {
      chat {
        id
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);
