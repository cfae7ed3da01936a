import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCode, SocketClosed } from "../src/errors.js";
import { chatEvents } from "../src/events.js";
import { Viewer } from "../src/operations.js";
import { createGroup, device, Recording, server, until } from "./world.js";

const token = () => "not.a.token";

test("HTTP answers an invalid token with 401", async () => {
  const response = await fetch(server.url, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json",
      authorization: `Bearer ${token()}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ query: "{ viewer { id } }" }),
  });

  const { errors } = (await response.json()) as { errors: { extensions: { code: string } }[] };
  assert.equal(response.status, 401);
  assert.equal(errors[0]?.extensions.code, "UNAUTHENTICATED");
});

test("Apollo sees its code", async (t) => {
  const stranger = device(t, "alice", { token });

  const refusal = await stranger.apollo.query({ query: Viewer }).catch((error: unknown) => error);

  assert.equal(errorCode(refusal), "UNAUTHENTICATED");
});

test("the WebSocket closes with 4403, and the stream does not try again", async (t) => {
  const stranger = device(t, "alice", { token });
  const chat = await createGroup(device(t, "alice"));

  const refused = new Recording(t, chatEvents(stranger.apollo, chat.id, chat.cursor));
  await until("the refusal", () => refused.error !== undefined);

  assert.ok(refused.error instanceof SocketClosed);
  assert.equal(refused.error.code, 4403);
  assert.deepEqual(stranger.closeCodes, [4403]);
});
