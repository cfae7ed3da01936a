import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { print } from "graphql";
import { createClient } from "graphql-ws";
import type WebSocket from "ws";
import { errorCode } from "../src/errors.js";
import { chatEvents, chatUpdates, followChat } from "../src/events.js";
import type { ChatEventsSubscription } from "../src/gql/graphql.js";
import { ChatEvents, ChatPage, EditMessage, OpenDirectChat, RemoveParticipant } from "../src/operations.js";
import { sendMessage } from "../src/send.js";
import { bodies, createGroup, device, history, numbered, Recording, sendAll, server, tokenOf, until } from "./world.js";

test("messages arrive live and in order", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const chat = await createGroup(alice, "bob");
  const heard = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor));
  const sent = numbered("message", 20);

  await sendAll(alice, chat.id, sent);

  const events = await heard.reach(sent.length);
  assert.deepEqual(bodies(events), sent);
  assert.deepEqual(new Set(events.map(({ actor }) => actor?.id)), new Set(["alice"]));
});

test("a stream goes on by its cursor when the socket is lost, again and again", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const chat = await createGroup(alice, "bob");
  const sent: string[] = [];
  let cuts = 0;
  const heard = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor), (_, count) => {
    const isNewSocket = bob.sockets() > cuts;
    if (isNewSocket && cuts < 5 && count % 7 === 0) {
      cuts++;
      bob.cut();
    }
  });

  for (let rest = 20; rest > 0; rest -= cuts < 5 ? 0 : 1) {
    await sendAll(alice, chat.id, [`message ${sent.length + 1}`]);
    sent.push(`message ${sent.length + 1}`);
  }

  assert.deepEqual(bodies(await heard.reach(sent.length)), sent);
  await sleep(300); // a repetition would come now
  assert.equal(heard.items.length, sent.length);
  assert.equal(bob.sockets(), 1 + cuts);
});

test("a connection that has gone silent is given up and replaced", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob", { keepAlive: 300 })];
  const chat = await createGroup(alice, "bob");
  const sent: string[] = [];
  const heard = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor), (_, count) => {
    if (count === 5) bob.stall();
  });

  while (bob.sockets() < 2) {
    await sendAll(alice, chat.id, [`message ${sent.length + 1}`]);
    sent.push(`message ${sent.length + 1}`);
  }

  assert.deepEqual(bodies(await heard.reach(sent.length)), sent);
});

test("the trap: graphql-ws's own retry starts from the old cursor and repeats", async (t) => {
  const alice = device(t, "alice");
  const chat = await createGroup(alice, "bob");
  let connection: WebSocket;
  const naive = createClient({
    url: server.url.replace("http", "ws"),
    connectionParams: async () => ({ authorization: `Bearer ${await tokenOf("bob")}` }),
    retryAttempts: 5,
    retryWait: () => sleep(50),
    on: { opened: (socket) => (connection = socket as WebSocket) },
  });
  const heard: (string | null)[] = [];
  const stop = naive.subscribe<ChatEventsSubscription>(
    { query: print(ChatEvents), variables: { chatId: chat.id, after: chat.cursor } },
    { next: ({ data }) => heard.push(...bodies([data!.chatEvents])), error: () => {}, complete: () => {} },
  );
  t.after(stop);

  await sendAll(alice, chat.id, ["one", "two"]);
  await until("two messages", () => heard.length === 2, () => heard);
  connection!.terminate();
  await until("their repetition", () => heard.length === 4, () => heard);

  assert.deepEqual(heard, ["one", "two", "one", "two"]);
});

test("a page and the stream behind it miss nothing and repeat nothing", async (t) => {
  const [alice, bob, carol] = [device(t, "alice"), device(t, "bob"), device(t, "carol")];
  const chat = await createGroup(alice, "bob", "carol");
  const variables = { chatId: chat.id, last: 50 };
  let sending = true;
  const sender = async (from: typeof alice, name: string) => {
    for (let n = 1; sending; n++) await sendAll(from, chat.id, [`${name} ${n}`]);
  };
  const senders = Promise.all([sender(alice, "a"), sender(alice, "b"), sender(carol, "c")]);

  const seen: { page: (string | null)[]; stream: Recording<Parameters<typeof bodies>[0][number]> }[] = [];
  for (let round = 0; round < 10; round++) {
    const { data } = await bob.apollo.query({ query: ChatPage, variables, fetchPolicy: "network-only" });
    const { messages, eventCursor } = data!.chat!;
    await sleep(10 * (round % 3));
    const stream = new Recording(t, chatEvents(bob.apollo, chat.id, eventCursor));
    seen.push({ page: messages.edges.map(({ node }) => node.body), stream });
  }
  await sleep(200);
  sending = false;
  await senders;

  const all = await history(alice, chat.id);
  assert.equal(new Set(all).size, all.length);
  for (const { page, stream } of seen) {
    const expected = page.length ? all.slice(all.indexOf(page[0]!)) : all;
    await stream.reach(expected.length - page.length);
    assert.deepEqual([...page, ...bodies(stream.items)], expected);
  }
});

test("two streams from one cursor both see everything", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const chat = await createGroup(alice, "bob");
  const first = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor));
  await sendAll(alice, chat.id, ["one"]);
  await first.reach(1);

  const second = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor));

  assert.deepEqual(bodies(await second.reach(1)), ["one"]);
  assert.equal(first.items.length, 1);
  assert.equal(bob.sockets(), 1);
});

test("a followed chat stays current in the cache", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const chat = await createGroup(alice, "bob");
  const variables = { chatId: chat.id, last: 50 };
  await sendAll(alice, chat.id, ["before"]);
  const followed = new Recording(t, followChat(bob.apollo, chat.id));
  const cached = () =>
    bob.apollo.readQuery({ query: ChatPage, variables })?.chat?.messages.edges.map(({ node }) => node.body);
  await until("the first page", () => cached() !== undefined);

  await sendAll(bob, chat.id, ["mine"]);
  const { message } = await sendMessage(alice.apollo, chat.id, "with a tpyo");
  await alice.apollo.mutate({
    mutation: EditMessage,
    variables: { input: { messageId: message!.id, body: "without a typo" } },
  });

  const events = await followed.reach(3);
  assert.deepEqual(events.map((event) => event.__typename), ["MessageSent", "MessageSent", "MessageEdited"]);
  assert.deepEqual(cached(), ["before", "mine", "without a typo"]);
});

test("a removal is the last event, and ends the stream", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const chat = await createGroup(alice, "bob");
  const heard = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor));
  await sendAll(alice, chat.id, ["farewell"]);
  await heard.reach(1);

  const input = { chatId: chat.id, userId: "bob" };
  await alice.apollo.mutate({ mutation: RemoveParticipant, variables: { input } });
  await until("the end", () => heard.complete, () => heard.items.length);

  assert.deepEqual(heard.items.map((event) => event.__typename), ["MessageSent", "ParticipantRemoved"]);
});

test("a stream of a chat that one may not see fails at once", async (t) => {
  const [alice, carol] = [device(t, "alice"), device(t, "carol")];
  const chat = await createGroup(alice, "bob");

  const refused = new Recording(t, chatEvents(carol.apollo, chat.id, chat.cursor));
  await until("the refusal", () => refused.error !== undefined);

  assert.equal(errorCode(refused.error), "NOT_FOUND");
  assert.deepEqual(refused.items, []);
});

test("chatUpdates tells of a new group, also on a second socket", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const opened = await alice.apollo.mutate({ mutation: OpenDirectChat, variables: { input: { userId: "bob" } } });
  const direct = opened.data!.openDirectChat!.chat!.id;
  let resumed = 0;
  const updates = new Recording(t, chatUpdates(bob.apollo, () => resumed++));
  // There is no sign that the stream stands but an update: so alice writes until bob hears of it.
  const standing = async () => {
    const known = updates.items.length;
    while (updates.items.length === known) {
      await sendAll(alice, direct, ["are you there?"]);
      await sleep(20);
    }
  };
  const joined = async () => {
    await standing();
    const { id } = await createGroup(alice, "bob");
    const told = () => updates.items.find(({ chatId }) => chatId === id);
    await until("the new group", () => told() !== undefined);
    assert.deepEqual([told()?.kind, told()?.chat?.title], ["JOINED", "A group"]);
  };

  await joined();
  bob.cut();
  await until("the next socket", () => resumed === 1);
  await joined();
});
