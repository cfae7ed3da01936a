/** How chats lie in Apollo's cache. */

import { type ApolloCache, InMemoryCache, type Reference } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import generated from "./gql/possible-types.js";
import type { ChatEvent, Message } from "./operations.js";

export function createCache(): InMemoryCache {
  return new InMemoryCache({
    possibleTypes: generated.possibleTypes,
    typePolicies: {
      // The arguments only say which part of the list to fetch, so all pages of a chat share one entry.
      Chat: { fields: { messages: relayStylePagination() } },
      // A filter, on the other hand, makes another list.
      Query: { fields: { chats: relayStylePagination(["filter"]) } },
    },
  });
}

/**
 * Brings the cached lists up to date with an event. Titles, bodies and deletions need nothing here: they came with
 * the event as fields of a chat or a message that Apollo has filed under its id.
 */
export function applyEvent(cache: ApolloCache, event: ChatEvent): void {
  switch (event.__typename) {
    case "MessageSent":
      return appendMessage(cache, event.chat.id, event.message);
    case "ParticipantAdded":
    case "ParticipantRemoved":
      cache.evict({ id: cache.identify({ __typename: "Chat", id: event.chat.id }), fieldName: "participants" });
      return;
    default: // nothing to do, or a kind of event younger than this client
  }
}

/**
 * Puts a message at the end of its chat, taking it from wherever it stood. One's own message is here as soon as it
 * is acknowledged, perhaps before an older one of somebody else arrives as an event; since every event moves its
 * message to the end, the list settles in the log's order.
 */
export function appendMessage(cache: ApolloCache, chatId: string, message: Message): void {
  const id = cache.identify({ __typename: "Message", id: message.id });
  const node = { __ref: id } as Reference;
  cache.modify<{ messages: { edges: readonly { node: Reference }[] } }>({
    id: cache.identify({ __typename: "Chat", id: chatId }),
    fields: {
      messages: (list) => {
        const { edges } = list as unknown as { edges: readonly { node: Reference }[] };
        const others = edges.filter((edge) => edge.node.__ref !== id);
        return { ...list, edges: [...others, { __typename: "MessageEdge", node }] } as never;
      },
    },
  });
}
