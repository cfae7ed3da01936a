/** The real client of Socket.IO against the real server. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { type ChatEvent, type ChatUpdate, Colloquy, ColloquyError, type Failure } from "../src/client.js";
import { Server } from "../../testing/server.js";

/** What the servers of one service have in common, besides the database. */
const SECRET = { COLLOQUY_JWT_SECRET: "a secret of thirty-two bytes, or more" };
const server = await Server.create(SECRET);
before(() => server.start());
after(() => server.remove());

const clients: Colloquy[] = [];
const connect = (user: string, at = server) => {
  const client = new Colloquy(at.origin, () => server.token(user, user));
  clients.push(client);
  return client;
};
after(() => clients.forEach((client) => client.close()));

const failure = (code: string) => (error: unknown) => {
  assert.ok(error instanceof ColloquyError, String(error));
  assert.equal(error.code, code);
  assert.match(error.failure.message, /\.$/);
  return true;
};

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !holds(); await sleep(20)) {
    assert.ok(Date.now() < deadline, `it does not come to this: ${what}`);
  }
}

async function group(title: string): Promise<string> {
  await server.query("bob", "{ viewer { id } }", {});
  const query =
    "mutation ($title: String!) { createGroupChat(input: { title: $title, participantIds: [\"bob\"] }) { chat { id } } }";
  const made = await server.query<{ createGroupChat: { chat: { id: string } } }>("alice", query, { title });
  return made.createGroupChat.chat.id;
}

const bodies = (events: ChatEvent[]) => events.map(({ message }) => message?.body);

describe("socket.io-client", () => {
  it("connects with a token, and is told why not without one that is accepted", async () => {
    const alice = connect("alice");
    await alice.ready();
    assert.equal(alice.socket.io.engine.transport.name, "websocket");
    const forged = new Colloquy(server.origin, async () => "nonsense");
    await assert.rejects(forged.ready(), failure("UNAUTHENTICATED"));
    assert.equal(forged.socket.active, false, "it would try again and again");
    const silent = io(server.origin, { transports: ["websocket"], forceNew: true });
    const error = await new Promise<Error & { data?: Failure }>((resolve) => silent.once("connect_error", resolve));
    assert.equal(error.data?.code, "UNAUTHENTICATED");
    assert.equal(error.message, error.data?.message);
  });

  it("is told that long polling is not served", async () => {
    const polling = io(server.origin, { transports: ["polling"], forceNew: true, reconnection: false });
    const error = await new Promise<Error>((resolve) => polling.once("connect_error", resolve));
    assert.match(error.message, /poll error/);
    polling.close();
  });

  it("falls back to a WebSocket where it tries all transports", async () => {
    const token = await server.token("alice", "Alice");
    const both = io(server.origin, { transports: ["polling", "websocket"], tryAllTransports: true, forceNew: true, auth: { token } });
    await new Promise<void>((resolve) => both.once("connect", resolve));
    assert.equal(both.io.engine.transport.name, "websocket");
    both.close();
  });

  it("has no other namespaces", async () => {
    const admin = io(`${server.origin}/admin`, { transports: ["websocket"], forceNew: true });
    const error = await new Promise<Error>((resolve) => admin.once("connect_error", resolve));
    assert.equal(error.message, "Invalid namespace");
    admin.close();
  });

  it("sends, and is told what happens", async () => {
    const chatId = await group("Sending");
    const [alice, bob] = [connect("alice"), connect("bob")];
    const events: ChatEvent[] = [];
    await bob.follow(chatId, (event) => events.push(event));
    const first = await alice.send({ chatId, body: "Hello, Bob ü", idempotencyKey: "one", metadata: { a: [1] } });
    const again = await alice.send({ chatId, body: "Hello, Bob ü", idempotencyKey: "one", metadata: { a: [1] } });
    assert.equal(again.id, first.id);
    await bob.send({ chatId, body: "Hi", replyToId: first.id });
    await until("both are told", () => events.length === 2);
    assert.deepEqual(bodies(events), ["Hello, Bob ü", "Hi"]);
    assert.deepEqual(events.map(({ type, chatId, actor }) => [type, chatId, actor?.id]), [
      ["MessageSent", chatId, "alice"],
      ["MessageSent", chatId, "bob"],
    ]);
    await bob.emit("chat:read", { chatId, messageId: first.id });
    await bob.emit("chat:typing", { chatId });
    await bob.unfollow(chatId);
    await alice.send({ chatId, body: "unheard" });
    await sleep(300);
    assert.equal(events.length, 2);
  });

  it("is told of all chats", async () => {
    const bob = connect("bob");
    const updates: ChatUpdate[] = [];
    bob.socket.on("chat:update", (update: ChatUpdate) => updates.push(update));
    await bob.emit("chats:follow");
    const chatId = await group("All of them");
    await until("it is told", () => updates.some((update) => update.chatId === chatId));
    assert.equal(updates.find((update) => update.chatId === chatId)?.chat?.title, "All of them");
  });

  it("tells failures apart", async () => {
    const chatId = await group("Failures");
    const [alice, eve] = [connect("alice"), connect("eve")];
    await assert.rejects(eve.follow(chatId, () => {}), failure("NOT_FOUND"));
    await assert.rejects(eve.send({ chatId, body: "x" }), failure("NOT_FOUND"));
    await assert.rejects(alice.send({ chatId, body: " " }), failure("INVALID"));
    await assert.rejects(alice.emit("chat:explode"), failure("BAD_USER_INPUT"));
  });

  it("hears the end of a chat that it loses", async () => {
    const chatId = await group("Losing");
    const bob = connect("bob");
    let ended = false;
    const events: ChatEvent[] = [];
    await bob.follow(chatId, (event) => events.push(event), { onEnd: (error) => (ended = error === undefined) });
    const query =
      "mutation ($chatId: ID!) { removeParticipant(input: { chatId: $chatId, userId: \"bob\" }) { userErrors { code } } }";
    await server.query("alice", query, { chatId });
    await until("it ends", () => ended);
    assert.deepEqual(events.map(({ type }) => type), ["ParticipantRemoved"]);
  });

  it("comes back by itself with a new token, and misses and repeats nothing", async () => {
    const chatId = await group("Away");
    let tokens = 0;
    const bob = new Colloquy(server.origin, () => (tokens++, server.token("bob", "Bob")));
    clients.push(bob);
    const events: ChatEvent[] = [];
    await bob.follow(chatId, (event) => events.push(event));
    const alice = connect("alice");
    await alice.send({ chatId, body: "0" });
    await until("it is told", () => events.length === 1);
    // The connection is lost, and much happens before the client has noticed.
    bob.socket.io.engine.close();
    for (let n = 1; n < 10; n++) await alice.send({ chatId, body: String(n) });
    await until("the rest is told", () => events.length === 10);
    // The server goes away and comes back.
    await server.stop();
    await until("it is noticed", () => !bob.socket.connected);
    await server.start();
    await alice.ready();
    for (let n = 10; n < 15; n++) await alice.send({ chatId, body: String(n) });
    await until("all is told", () => events.length >= 15);
    await sleep(300);
    assert.deepEqual(bodies(events), Array.from({ length: 15 }, (_, n) => String(n)));
    assert.ok(tokens >= 3, `it was asked for ${tokens} tokens`);
  });

  it("resumes on another server", async () => {
    const chatId = await group("Two servers");
    const other = await Server.create({ ...SECRET, DATABASE_URL: server.databaseUrl() });
    try {
      await other.start();
      const told: ChatEvent[] = [];
      const there = new Colloquy(other.origin, () => other.token("bob", "bob"));
      clients.push(there);
      const alice = connect("alice");
      await there.follow(chatId, (event) => told.push(event));
      await alice.send({ chatId, body: "one" });
      await until("it is told there", () => told.length === 1);
      there.close();
      await alice.send({ chatId, body: "two" });
      const here: ChatEvent[] = [];
      await connect("bob").follow(chatId, (event) => here.push(event), { after: told[0]!.cursor });
      await alice.send({ chatId, body: "three" });
      await until("the rest is told here", () => here.length >= 2);
      await sleep(300);
      assert.deepEqual(bodies(here), ["two", "three"]);
    } finally {
      await other.remove();
    }
  });
});
