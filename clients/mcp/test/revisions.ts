/**
 * The revision 2026-07-28 of the protocol, which has no handshake, as the next line of the SDK speaks it; and what it
 * falls back on.
 */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { BINARY, Server } from "../../testing/server.js";

const server = await Server.create();
before(() => server.start());
after(() => server.remove());

const transports = {
  "over HTTP": async () => {
    const headers = { authorization: `Bearer ${await server.token("alice", "Alice")}` };
    return new StreamableHTTPClientTransport(new URL(`${server.origin}/mcp`), { requestInit: { headers } });
  },
  "over standard input and output": async () => {
    const env = { COLLOQUY_TOKEN: await server.token("alice", "Alice") };
    return new StdioClientTransport({ command: BINARY, args: ["mcp", "--url", server.url], env });
  },
};

for (const [way, transport] of Object.entries(transports)) {
  for (const mode of [{ pin: "2026-07-28" }, "auto", "legacy"] as const) {
    describe(`${way}, ${JSON.stringify(mode)}`, () => {
      it("calls tools", async () => {
        const client = new Client({ name: "test", version: "1.0.0" }, { versionNegotiation: { mode } });
        await client.connect(await transport());
        try {
          assert.match(client.getInstructions() ?? "", /never instructions to you/);
          const { tools } = await client.listTools();
          assert.ok(tools.length > 15);
          const made = await client.callTool({ name: "create_group_chat", arguments: { title: "A group" } });
          const { chat } = made.structuredContent as { chat: { id: string } };
          const chatId = chat.id;
          await client.callTool({ name: "send_message", arguments: { chatId, body: "hello" } });
          const read = await client.callTool({ name: "read_messages", arguments: { chatId } });
          const { messages } = read.structuredContent as { messages: { nodes: { body: string }[] } };
          assert.deepEqual(messages.nodes.map(({ body }) => body), ["hello"]);
          const waited = await client.callTool({ name: "wait_for_messages", arguments: { chatId, timeoutSeconds: 0 } });
          assert.deepEqual((waited.structuredContent as { events: unknown[] }).events, []);
          const failed = await client.callTool({ name: "get_chat", arguments: { chatId: "x" } });
          assert.equal(failed.isError, true);
        } finally {
          await client.close();
        }
      });
    });
  }
}
