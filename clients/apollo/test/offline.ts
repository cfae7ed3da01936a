/** What a healthy server does not do on demand: a link plays it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, InMemoryCache, Observable } from "@apollo/client";
import { CursorExpired, SocketClosed } from "../src/errors.js";
import { chatEvents } from "../src/events.js";
import { Recording, until } from "./world.js";

function event(cursor: string): ApolloLink.Result {
  const chat = { __typename: "Chat", id: "chat", title: null, deletedAt: null };
  const occurredAt = "2030-01-01T00:00:00Z";
  return { data: { chatEvents: { __typename: "ChatArchived", cursor, occurredAt, actor: null, chat } } };
}

/** A client whose sockets live as scripted, one after the other, and the cursors it subscribed from. */
function scripted(...lives: ((sink: { next(r: ApolloLink.Result): void; error(e: unknown): void }) => void)[]) {
  const cursors: unknown[] = [];
  const link = new ApolloLink(({ variables }) => {
    const live = lives[cursors.length];
    cursors.push(variables["after"]);
    return new Observable((sink) => live?.(sink));
  });
  return { apollo: new ApolloClient({ cache: new InMemoryCache(), link }), cursors };
}

test("an expired cursor is told to the application and not retried", async (t) => {
  const errors = [{ message: "expired", extensions: { code: "CURSOR_EXPIRED" } }];
  const { apollo, cursors } = scripted((sink) => sink.next({ data: null, errors }));

  const heard = new Recording(t, chatEvents(apollo, "chat", "start"));
  await until("the error", () => heard.error !== undefined);

  assert.ok(heard.error instanceof CursorExpired);
  assert.deepEqual(cursors, ["start"]);
});

test("each attempt starts behind the last event, also of a kind this client does not know", async (t) => {
  const { apollo, cursors } = scripted(
    (sink) => [event("1"), event("2")].forEach((result) => sink.next(result)) ?? sink.error(new SocketClosed(1006, true)),
    (sink) => sink.error(new SocketClosed(undefined, false)),
    (sink) => sink.error(new SocketClosed(4403, true)), // the token has run out
    (sink) => sink.next(event("3")),
  );

  const heard = new Recording(t, chatEvents(apollo, "chat", "start"));
  const events = await heard.reach(3);

  assert.deepEqual(events.map(({ cursor }) => cursor), ["1", "2", "3"]);
  assert.deepEqual(cursors, ["start", "2", "2", "2"]);
});
