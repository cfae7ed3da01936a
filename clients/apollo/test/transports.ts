/** The other ways to follow a chat: server-sent events with graphql-sse, and multipart with Apollo's own HttpLink. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { print } from "graphql";
import { createClient } from "graphql-sse";
import { createCache } from "../src/cache.js";
import type { ChatEventsSubscription } from "../src/gql/graphql.js";
import { ChatEvents, RemoveParticipant } from "../src/operations.js";
import { bodies, createGroup, device, numbered, Recording, sendAll, server, tokenOf, until } from "./world.js";

test("graphql-sse follows a chat to its end", async (t) => {
  const alice = device(t, "alice");
  const chat = await createGroup(alice, "bob");
  const client = createClient({
    url: server.url,
    headers: async () => ({ authorization: `Bearer ${await tokenOf("bob")}` }),
    retryAttempts: 0,
  });
  t.after(() => client.dispose());
  const heard: (string | null)[] = [];
  let ended: unknown = "not yet";
  client.subscribe<ChatEventsSubscription>(
    { query: print(ChatEvents), variables: { chatId: chat.id, after: chat.cursor } },
    {
      next: ({ data }) => heard.push(...bodies(data ? [data.chatEvents] : [])),
      error: (error) => (ended = error),
      complete: () => (ended = "complete"),
    },
  );
  const sent = numbered("message", 10);

  await sendAll(alice, chat.id, sent);
  await until("the messages", () => heard.length === sent.length, () => heard);
  await alice.apollo.mutate({ mutation: RemoveParticipant, variables: { input: { chatId: chat.id, userId: "bob" } } });

  await until("the end", () => ended !== "not yet");
  assert.deepEqual([heard, ended], [sent, "complete"]);
});

test("Apollo Client follows a chat over HTTP, event by event", async (t) => {
  const alice = device(t, "alice");
  const chat = await createGroup(alice, "bob");
  const authorize = new SetContextLink(async ({ headers }) => ({
    headers: { ...headers, authorization: `Bearer ${await tokenOf("bob")}` },
  }));
  const link = ApolloLink.from([authorize, new HttpLink({ uri: server.url })]);
  const bob = new ApolloClient({ cache: createCache(), link });
  t.after(() => bob.stop());
  const variables = { chatId: chat.id, after: chat.cursor };
  const heard = new Recording(t, bob.subscribe({ query: ChatEvents, variables }));

  for (const [index, body] of numbered("message", 5).entries()) {
    await sendAll(alice, chat.id, [body]);
    const results = await heard.reach(index + 1); // complete before the next part comes
    const { data, error } = results.at(-1)!;
    assert.equal(error, undefined);
    assert.deepEqual(bodies([data!.chatEvents as never]), [body]);
  }
  await alice.apollo.mutate({ mutation: RemoveParticipant, variables: { input: { chatId: chat.id, userId: "bob" } } });

  await until("the end", () => heard.complete || heard.error !== undefined, () => heard.items.length);
  assert.equal(heard.error, undefined);
});
