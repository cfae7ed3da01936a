/** The documents. `npm run codegen` makes their types. */

import { graphql } from "./gql/index.js";

export const Viewer = graphql(`
  query Viewer {
    viewer { id displayName }
  }
`);

export const OpenDirectChat = graphql(`
  mutation OpenDirectChat($userId: ID!) {
    openDirectChat(input: { userId: $userId }) {
      chat { id eventCursor }
      userErrors { code message }
    }
  }
`);

export const SendMessage = graphql(`
  mutation SendMessage($chatId: ID!, $body: String!, $idempotencyKey: String!) {
    sendMessage(input: { chatId: $chatId, body: $body, idempotencyKey: $idempotencyKey }) {
      message { id body }
      userErrors { code message }
    }
  }
`);

export const ChatEvents = graphql(`
  subscription ChatEvents($chatId: ID!, $after: String!) {
    chatEvents(chatId: $chatId, after: $after) {
      __typename
      cursor
      ... on MessageSent { message { id body sender { id } } }
    }
  }
`);
