/** Subscriptions that survive the loss of their socket. */

import type { ApolloClient } from "@apollo/client";
import { defer, map, mergeMap, type Observable, retry, tap, throwError, timer } from "rxjs";
import { applyEvent } from "./cache.js";
import { CursorExpired, errorCode, retryTransient } from "./errors.js";
import { type ChatEvent, ChatEvents, ChatPage, type ChatUpdate, ChatUpdates } from "./operations.js";

/**
 * Every event of a chat behind `after`, in order and exactly once, over as many sockets as it takes.
 *
 * Completes when the server ends the stream: the last event took the viewer's access away. Fails with
 * `CursorExpired` when the log does not continue from the cursor, and with the server's error when trying again is
 * of no use.
 */
export function chatEvents(apollo: ApolloClient, chatId: string, after: string): Observable<ChatEvent> {
  return defer(() => {
    let cursor = after;
    // The inner defer is the point: it runs again for each attempt, and reads the cursor as it is by then.
    return defer(() =>
      apollo.subscribe({
        query: ChatEvents,
        variables: { chatId, after: cursor },
        // Equal operations under way share one stream, and who joins it late misses its beginning. Not here.
        context: { queryDeduplication: false },
      }),
    ).pipe(
      map((result) => unwrap(result).chatEvents),
      tap((event) => {
        cursor = event.cursor;
      }),
      retryTransient(),
    );
  });
}

/**
 * Loads a chat and keeps it current in the cache for as long as it is subscribed to. An expired cursor loads the
 * chat again. Emits what it has applied, for sounds and badges.
 */
export function followChat(apollo: ApolloClient, chatId: string, pageSize = 50): Observable<ChatEvent> {
  const load = defer(() =>
    apollo.query({ query: ChatPage, variables: { chatId, last: pageSize }, fetchPolicy: "network-only" }),
  ).pipe(retryTransient());

  return load.pipe(
    mergeMap(({ data }) => {
      if (!data?.chat) throw new Error(`there is no chat ${chatId} for this viewer`);
      return chatEvents(apollo, chatId, data.chat.eventCursor);
    }),
    tap((event) => applyEvent(apollo.cache, event)),
    retry({ delay: (error) => (error instanceof CursorExpired ? timer(1_000) : throwError(() => error)) }),
  );
}

/**
 * Tells whenever one of the viewer's chats changes. This is state and not a log: what changed while there was no
 * socket is not told later, so `resumed` is the moment to fetch the list of chats again.
 */
export function chatUpdates(apollo: ApolloClient, resumed: () => void = () => {}): Observable<ChatUpdate> {
  return defer(() => {
    let attempts = 0;
    return defer(() => {
      if (attempts++ > 0) resumed();
      return apollo.subscribe({ query: ChatUpdates });
    }).pipe(
      map((result) => unwrap(result).chatUpdates),
      retryTransient(),
    );
  });
}

function unwrap<T>({ data, error }: { data?: T; error?: unknown }): T {
  if (errorCode(error) === "CURSOR_EXPIRED") throw new CursorExpired("the cursor has expired");
  if (error) throw error;
  return data as T;
}
