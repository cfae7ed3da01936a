/** The tools, as a client of the protocol's own SDK calls them, over HTTP and over standard input and output. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Agent, ToolError, overHttp, overStdio } from "../src/agent.js";
import { BINARY, Server } from "../../testing/server.js";

const server = await Server.create();
before(() => server.start());
after(() => server.remove());

const ways = {
  "over HTTP": (user: string) => overHttp(`${server.origin}/mcp`, () => server.token(user, user)),
  "over standard input and output": async (user: string) =>
    overStdio(BINARY, server.url, await server.token(user, user)),
};

interface Message {
  id: string;
  body: string;
}
interface Sent {
  message: Message;
}
interface Chat {
  chat: { id: string };
}
interface Page {
  eventCursor: string;
  messages: { nodes: Message[]; pageInfo: { hasPreviousPage: boolean; startCursor: string } };
}

const failure = (code: string) => (error: unknown) => {
  assert.ok(error instanceof ToolError, String(error));
  assert.equal(error.code, code);
  assert.match(error.failures[0]!.message, /\.$/);
  return true;
};

for (const [way, connect] of Object.entries(ways)) {
  describe(way, () => {
    let alice: Agent, bob: Agent;
    before(async () => {
      [alice, bob] = await Promise.all([connect("alice"), connect("bob")]);
      // A user exists from their first request.
      assert.equal((await bob.call<{ id: string }>("who_am_i")).id, "bob");
    });
    after(() => Promise.all([alice.close(), bob.close()]));

    const open = async () => {
      const { chat } = await alice.call<Chat>("create_group_chat", { title: "A group", participantIds: ["bob"] });
      return chat.id;
    };

    it("introduces itself, and warns of what people write", async () => {
      assert.equal(alice.client.getServerVersion()?.name, "colloquy");
      assert.match(alice.client.getInstructions()!, /never instructions to you/);
    });

    it("lists tools with schemas and hints", async () => {
      const { tools } = await alice.client.listTools();
      const named = new Map(tools.map((tool) => [tool.name, tool]));
      assert.equal(named.get("read_messages")?.annotations?.readOnlyHint, true);
      assert.equal(named.get("delete_message")?.annotations?.destructiveHint, true);
      assert.equal(named.get("send_message")?.annotations?.idempotentHint, false);
      for (const tool of tools) {
        assert.ok(tool.description && tool.outputSchema?.properties, tool.name);
        assert.equal(tool.inputSchema["additionalProperties"], false, tool.name);
      }
    });

    // The client checks each answer against the tool's schema, and throws where it does not fit.
    it("answers what the schemas say, from every tool", async () => {
      const chatId = await open();
      const { message } = await alice.call<Sent>("send_message", { chatId, body: "one", idempotencyKey: "k" });
      const again = await alice.call<Sent>("send_message", { chatId, body: "two", idempotencyKey: "k" });
      assert.equal(again.message.id, message.id);
      const messageId = message.id;
      const calls: [string, Record<string, unknown>][] = [
        ["who_am_i", {}],
        ["list_chats", {}],
        ["list_chats", { kind: "GROUP", includeDeleted: true, first: 1 }],
        ["get_chat", { chatId }],
        ["list_participants", { chatId }],
        ["search_messages", { chatId, textContains: "one", senderIds: ["alice"], unread: false }],
        ["read_messages", { chatId }],
        ["star_message", { messageId }],
        ["list_starred_messages", {}],
        ["unstar_message", { messageId }],
        ["edit_message", { messageId, body: "uno" }],
        ["send_message", { chatId, body: "reply", replyToId: messageId }],
        ["get_message", { messageId }],
        ["search_messages", { chatId, hasAttachments: true }],
        ["forward_messages", { messageIds: [messageId], chatIds: [chatId] }],
        ["delete_message", { messageId }],
        ["get_message", { messageId }],
        ["restore_message", { messageId }],
        ["mark_chat_read", { chatId, messageId }],
        ["open_direct_chat", { userId: "bob" }],
        ["rename_chat", { chatId, title: "Another" }],
        ["change_participant_role", { chatId, userId: "bob", role: "ADMIN" }],
        ["remove_participant", { chatId, userId: "bob" }],
        ["add_participants", { chatId, userIds: ["bob"] }],
        ["wait_for_messages", { chatId, timeoutSeconds: 0 }],
      ];
      for (const [tool, args] of calls) await alice.call(tool, args);
      await bob.call("leave_chat", { chatId });
      // Every event there can be: they are of all types.
      const { eventCursor } = await alice.call<{ eventCursor: string }>("get_chat", { chatId });
      const types = new Set<string>();
      const { chat } = await server.query<{ chat: { eventStartCursor: string } }>(
        "alice",
        "query ($id: ID!) { chat(id: $id) { eventStartCursor } }",
        { id: chatId },
      );
      for await (const event of alice.follow(chatId, chat.eventStartCursor)) {
        types.add(event.type);
        if (event.cursor === eventCursor) break;
      }
      assert.ok(types.size >= 8, [...types].join());
    });

    it("reads history by pages", async () => {
      const chatId = await open();
      for (let number = 1; number <= 5; number++) await alice.call("send_message", { chatId, body: `${number}` });
      const bodies: string[] = [];
      let before: string | undefined;
      for (;;) {
        const { messages } = await bob.call<Page>("read_messages", { chatId, last: 2, ...(before && { before }) });
        bodies.unshift(...messages.nodes.map(({ body }) => body));
        if (!messages.pageInfo.hasPreviousPage) break;
        before = messages.pageInfo.startCursor;
      }
      assert.deepEqual(bodies, ["1", "2", "3", "4", "5"]);
    });

    it("follows a chat without missing anything", async () => {
      const chatId = await open();
      const { eventCursor } = await bob.call<Page>("read_messages", { chatId });
      const sent = Array.from({ length: 30 }, (_, number) => `${number}`);
      const sending = (async () => {
        for (const body of sent) await alice.call("send_message", { chatId, body });
      })();
      const heard: string[] = [];
      for await (const event of bob.follow(chatId, eventCursor)) {
        heard.push(event.message!.body!);
        if (heard.length === sent.length) break;
      }
      await sending;
      assert.deepEqual(heard, sent);
    });

    it("tells failures apart", async () => {
      const chatId = await open();
      const { message } = await alice.call<Sent>("send_message", { chatId, body: "hers" });
      await assert.rejects(alice.call("send_message", { chatId, body: " " }), failure("INVALID"));
      await assert.rejects(bob.call("edit_message", { messageId: message.id, body: "his" }), failure("FORBIDDEN"));
      await assert.rejects(alice.call("get_chat", { chatId: "chat_nothing" }), failure("NOT_FOUND"));
      await assert.rejects(alice.call("read_messages", { chatId, last: 1000 }), failure("BAD_USER_INPUT"));
      await assert.rejects(alice.call("format_disk"), (error) => !(error instanceof ToolError));
    });

    it("shows an outsider nothing", async () => {
      const chatId = await open();
      const mallory = await connect("mallory");
      try {
        for (const tool of ["get_chat", "read_messages", "list_participants", "wait_for_messages"]) {
          await assert.rejects(mallory.call(tool, { chatId }), failure("NOT_FOUND"));
        }
        await assert.rejects(mallory.call("send_message", { chatId, body: "x" }), failure("NOT_FOUND"));
      } finally {
        await mallory.close();
      }
    });
  });
}

describe("over HTTP without a token", () => {
  it("is refused", async () => {
    await assert.rejects(overHttp(`${server.origin}/mcp`, async () => "forged"), /401|Unauthorized|UNAUTHENTICATED/i);
  });
});
