/** What the tests share: one server, its people, and ways to watch a stream and to break a socket. */

import assert from "node:assert/strict";
import { after, before, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Observable } from "rxjs";
import WebSocket from "ws";
import { type Colloquy, type ColloquyOptions, connect } from "../src/client.js";
import { ChatPage, type ChatEvent, CreateGroupChat, OlderMessages } from "../src/operations.js";
import { sendMessage } from "../src/send.js";
import { Server } from "../../testing/server.js";

// src/ is written for browsers. This WebSocket, unlike theirs, can be cut off without a closing handshake.
Object.assign(globalThis, { WebSocket });

export const server = await Server.create();
before(() => server.start());
after(() => server.remove());

const NAMES = { alice: "Alice", bob: "Bob", carol: "Carol" };
export type Person = keyof typeof NAMES;

const tokens = new Map<Person, Promise<string>>();

export function tokenOf(person: Person): Promise<string> {
  const token = tokens.get(person) ?? server.token(person, NAMES[person]);
  tokens.set(person, token);
  return token;
}

export interface Device extends Colloquy {
  /** How many sockets it has opened so far. */
  sockets(): number;
  closeCodes: number[];
  /** Ends the connection as a lost network does: no close frame, no warning. */
  cut(): void;
  /** Keeps the connection, and lets nothing more in. */
  stall(): void;
}

/** A client of one person with a cache and a socket of its own, closed when the test ends. */
export function device(t: TestContext, person: Person, options: Partial<ColloquyOptions> = {}): Device {
  const colloquy = connect({ url: server.url, token: () => tokenOf(person), ...options });
  const sockets: WebSocket[] = [];
  const closeCodes: number[] = [];
  colloquy.socket.on("opened", (socket) => sockets.push(socket as WebSocket));
  colloquy.socket.on("closed", (event) => closeCodes.push((event as CloseEvent).code));
  t.after(async () => {
    await colloquy.close();
    for (const socket of sockets) socket.terminate();
  });
  return {
    ...colloquy,
    closeCodes,
    sockets: () => sockets.length,
    cut: () => sockets.at(-1)!.terminate(),
    stall: () => sockets.at(-1)!.pause(),
  };
}

/** A new group of the device's owner and others. */
export async function createGroup({ apollo }: Colloquy, ...others: Person[]): Promise<{ id: string; cursor: string }> {
  const input = { title: "A group", participantIds: others };
  const { data } = await apollo.mutate({ mutation: CreateGroupChat, variables: { input } });
  assert.deepEqual(data?.createGroupChat?.userErrors, []);
  const chat = data.createGroupChat.chat!;
  return { id: chat.id, cursor: chat.eventCursor };
}

/** Sends one body after the other. */
export async function sendAll({ apollo }: Colloquy, chatId: string, bodies: string[]): Promise<void> {
  for (const body of bodies) {
    const { userErrors } = await sendMessage(apollo, chatId, body);
    assert.deepEqual(userErrors, []);
  }
}

/** The bodies of a chat's whole history, oldest first, from the server and not from the cache. */
export async function history({ apollo }: Colloquy, chatId: string): Promise<(string | null)[]> {
  const bodies: (string | null)[] = [];
  const newest = await apollo.query({ query: ChatPage, variables: { chatId, last: 100 }, fetchPolicy: "no-cache" });
  let page = newest.data!.chat!.messages;
  for (;;) {
    bodies.unshift(...page.edges.map(({ node }) => node.body));
    if (!page.pageInfo.hasPreviousPage) return bodies;
    const variables = { chatId, last: 100, before: page.pageInfo.startCursor! };
    const older = await apollo.query({ query: OlderMessages, variables, fetchPolicy: "no-cache" });
    page = older.data!.chat!.messages;
  }
}

export function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name} ${index + 1}`);
}

export class Recording<T> {
  readonly items: T[] = [];
  error: unknown;
  complete = false;

  /** Records a stream until the test ends. */
  constructor(t: TestContext, stream: Observable<T>, onItem: (item: T, count: number) => void = () => {}) {
    const subscription = stream.subscribe({
      next: (item) => onItem(item, this.items.push(item)),
      error: (error) => (this.error = error),
      complete: () => (this.complete = true),
    });
    t.after(() => subscription.unsubscribe());
  }

  async reach(count: number): Promise<T[]> {
    await until(`${count} items`, () => this.items.length >= count || this.error !== undefined, () => this.items.length);
    if (this.error) throw this.error;
    return this.items;
  }
}

/** The bodies among events. */
export function bodies(events: ChatEvent[]): (string | null)[] {
  return events.flatMap((event) => (event.__typename === "MessageSent" ? [event.message.body] : []));
}

export async function until(what: string, holds: () => boolean, seen: () => unknown = () => "nothing"): Promise<void> {
  for (const deadline = Date.now() + 30_000; !holds(); await sleep(5)) {
    assert.ok(Date.now() < deadline, `waited in vain for ${what}; saw ${seen()}`);
  }
}
