import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatPage, OlderMessages, OpenDirectChat, SendMessage, Viewer } from "../src/operations.js";
import { sendMessage } from "../src/send.js";
import { createGroup, device, numbered, sendAll } from "./world.js";

test("the viewer is whom the token names", async (t) => {
  const { data } = await device(t, "alice").apollo.query({ query: Viewer });

  assert.deepEqual([data?.viewer?.id, data?.viewer?.displayName], ["alice", "Alice"]);
});

test("one's own message stands in the cache once it is acknowledged", async (t) => {
  const alice = device(t, "alice");
  const { id: chatId } = await createGroup(alice);
  const page = { query: ChatPage, variables: { chatId, last: 50 } };
  await alice.apollo.query(page);

  const { message } = await sendMessage(alice.apollo, chatId, "hello");

  const cached = alice.apollo.readQuery(page)?.chat?.messages.edges.map(({ node }) => node);
  assert.deepEqual(cached?.map(({ id, body, sender }) => [id, body, sender?.displayName]), [
    [message?.id, "hello", "Alice"],
  ]);
});

test("a direct chat is the same from both sides", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const mutation = OpenDirectChat;

  const hers = await alice.apollo.mutate({ mutation, variables: { input: { userId: "bob" } } });
  const his = await bob.apollo.mutate({ mutation, variables: { input: { userId: "alice" } } });

  const chat = hers.data?.openDirectChat?.chat;
  assert.equal(chat?.kind, "DIRECT");
  assert.equal(his.data?.openDirectChat?.chat?.id, chat.id);
});

test("paging back gives every message once and in order", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const { id: chatId } = await createGroup(alice, "bob");
  const sent = numbered("message", 120);
  await sendAll(alice, chatId, sent);

  const page = { query: ChatPage, variables: { chatId, last: 50 } };
  await bob.apollo.query(page);
  const view = bob.apollo.watchQuery(page);
  const watching = view.subscribe(() => {});
  t.after(() => watching.unsubscribe());
  const messages = () => bob.apollo.readQuery(page)!.chat!.messages;

  const lengths = [messages().edges.length];
  for (let { pageInfo } = messages(); pageInfo.hasPreviousPage; { pageInfo } = messages()) {
    const variables = { chatId, last: 50, before: pageInfo.startCursor! };
    await view.fetchMore({ query: OlderMessages, variables });
    lengths.push(messages().edges.length);
  }

  assert.deepEqual(lengths, [50, 100, 120]);
  assert.deepEqual(messages().edges.map(({ node }) => node.body), sent);
});

test("what the user can mend is a typed userError", async (t) => {
  const alice = device(t, "alice");
  const { id: chatId } = await createGroup(alice);

  const { message, userErrors } = await sendMessage(alice.apollo, chatId, " \n ");

  assert.equal(message, null);
  assert.deepEqual(userErrors.map(({ code, field }) => [code, field]), [["INVALID", ["input", "body"]]]);
});

test("a retry with the same key gives the message of the first try", async (t) => {
  const alice = device(t, "alice");
  const { id: chatId } = await createGroup(alice);
  const send = async (body: string) => {
    const input = { chatId, body, idempotencyKey: "one try" };
    const { data } = await alice.apollo.mutate({ mutation: SendMessage, variables: { input } });
    return data?.sendMessage?.message;
  };

  const [first, second] = [await send("first"), await send("second")];

  assert.ok(first);
  assert.deepEqual([second?.id, second?.body], [first.id, "first"]);
});
