/** An agent's side of Colloquy: calling its tools, telling failures apart, and following a chat. */

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";

/** Why a tool did not do what it was asked for. */
export interface Failure {
  /** The kind, by the codes of the API, such as `NOT_FOUND`. */
  code: string;
  message: string;
  field?: string[];
  /** After how many seconds to try again. */
  retryAfter?: number;
}

/** What is thrown for a tool that fails. */
export class ToolError extends Error {
  constructor(readonly failures: Failure[]) {
    super(failures.map(({ code, message }) => `${code}: ${message}`).join(" "));
  }

  get code(): string | undefined {
    return this.failures[0]?.code;
  }
}

/** An agent that the server at an address serves. `url` ends in `/mcp`. */
export function overHttp(url: string, token: () => Promise<string>): Promise<Agent> {
  // The token is asked for at each request, so it can be renewed.
  const withToken: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set("authorization", `Bearer ${await token()}`);
    return fetch(input, { ...init, headers });
  };
  return Agent.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: withToken }));
}

/** An agent that starts `colloquy mcp` itself. `url` ends in `/graphql`. */
export function overStdio(binary: string, url: string, token: string): Promise<Agent> {
  const env = { COLLOQUY_TOKEN: token };
  return Agent.connect(new StdioClientTransport({ command: binary, args: ["mcp", "--url", url], env }));
}

export class Agent {
  private constructor(readonly client: Client) {}

  static async connect(transport: Transport): Promise<Agent> {
    const client = new Client({ name: "colloquy-example", version: "1.0.0" });
    await client.connect(transport);
    // From now on, the client checks each answer against the schema of its tool.
    await client.listTools();
    return new Agent(client);
  }

  close(): Promise<void> {
    return this.client.close();
  }

  /** Calls a tool, and returns what it answers. */
  async call<T = Record<string, unknown>>(name: string, args: Record<string, unknown> = {}): Promise<T> {
    // A wait takes up to a minute, which is as long as the client would wait for any answer.
    const options = { timeout: 90_000 };
    const result = await this.client.callTool({ name, arguments: args }, undefined, options);
    if (!result.isError) return result.structuredContent as T;
    const [content] = result.content as { type: string; text: string }[];
    throw new ToolError((JSON.parse(content!.text) as { errors: Failure[] }).errors);
  }

  /** Every event of a chat behind a cursor, each once, for as long as the user sees the chat. */
  async *follow(chatId: string, cursor: string): AsyncGenerator<ChatEvent> {
    for (let ended = false; !ended; ) {
      const waited = await this.call<Waited>("wait_for_messages", { chatId, after: cursor, timeoutSeconds: 20 });
      yield* waited.events;
      ({ cursor, ended } = waited);
    }
  }
}

export interface ChatEvent {
  type: string;
  cursor: string;
  message?: { id: string; body: string | null; sender: { id: string } | null };
}

export interface Waited {
  events: ChatEvent[];
  cursor: string;
  ended: boolean;
}
