import assert from "node:assert/strict";
import { test } from "node:test";
import { chatEvents } from "../src/events.js";
import { bodies, createGroup, device, history, Recording, sendAll, server } from "./world.js";

test("a restart of the server loses nothing and repeats nothing", async (t) => {
  const [alice, bob] = [device(t, "alice"), device(t, "bob")];
  const chat = await createGroup(alice, "bob");
  const heard = new Recording(t, chatEvents(bob.apollo, chat.id, chat.cursor));
  const sent: string[] = [];
  let sending = true;
  const sender = (async () => {
    while (sending) {
      const body = `message ${sent.length + 1}`;
      await sendAll(alice, chat.id, [body]); // goes on trying while nobody listens
      sent.push(body);
    }
  })();

  await heard.reach(20);
  await server.stop();
  await server.start();
  const before = heard.items.length;
  await heard.reach(before + 20);
  sending = false;
  await sender;

  assert.deepEqual(bodies(await heard.reach(sent.length)), sent);
  assert.deepEqual(await history(alice, chat.id), sent);
  assert.equal(bob.closeCodes[0], 1001);
});
