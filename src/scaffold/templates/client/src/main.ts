/** Sends a message to one server as one user, and hears it at the other as another. */

import { randomUUID } from "node:crypto";
import { Colloquy } from "./client.js";
import { OpenDirectChat, SendMessage, Viewer } from "./operations.js";

function setting(name: string, otherwise?: string): string {
  const value = process.env[name] ?? otherwise;
  if (value === undefined) throw new Error(`Set ${name}.`);
  return value;
}

const [aliceToken, bobToken] = [setting("ALICE_TOKEN"), setting("BOB_TOKEN")];
const alice = new Colloquy(setting("COLLOQUY_URL", "http://127.0.0.1:@PORT@/graphql"), () => aliceToken);
const bob = new Colloquy(setting("COLLOQUY_OTHER_URL", "http://127.0.0.1:@PORT_2@/graphql"), () => bobToken);

// A user exists from their first request.
const { viewer } = await bob.ask(Viewer, {});
if (!viewer) throw new Error("The token is nobody's.");

const { openDirectChat } = await alice.ask(OpenDirectChat, { userId: viewer.id });
const chat = openDirectChat?.chat;
if (!chat) throw new Error(JSON.stringify(openDirectChat?.userErrors));

const body = `Hello from ${alice.url}`;
const { sendMessage } = await alice.ask(SendMessage, { chatId: chat.id, body, idempotencyKey: randomUUID() });
const sent = sendMessage?.message;
if (!sent) throw new Error(JSON.stringify(sendMessage?.userErrors));

for await (const event of bob.follow(chat.id, chat.eventCursor)) {
  if (event.__typename === "MessageSent" && event.message.id === sent.id) {
    console.log(`${viewer.id} heard at ${bob.url}: ${event.message.body}`);
    break;
  }
}
