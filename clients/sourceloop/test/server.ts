/** A Colloquy of the test's own, with a private Postgres in which there is room for the other service's database. */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import pg from "pg";

// npm runs scripts in the project's folder, and the default is relative to that.
const BINARY = path.resolve(process.env["COLLOQUY_BIN"] ?? "../../target/debug/colloquy");

/** Settings of the machine must not reach the server. */
const ENVIRONMENT = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.endsWith("DATABASE_URL") && !name.startsWith("COLLOQUY_"),
    ),
  ),
  COLLOQUY_RATE_LIMITS: "off",
};

/** What a run of the import ended with. */
export interface Outcome {
  code: number;
  report: Report;
  stderr: string;
}

export interface Counted {
  reason: string;
  count: number;
  examples: string[];
}

export interface Report {
  chats: { made: number; known: number; skipped: number };
  participants: { added: number };
  messages: { read: number; written: number; known: number; skipped: number };
  stars: { set: number };
  notMapped: Counted[];
  changed: Counted[];
}

export class Server {
  #process: ChildProcess | undefined;
  #output = "";

  private constructor(
    private readonly dataDir: string,
    private readonly address: string,
  ) {
    process.once("exit", () => this.#process?.kill());
  }

  static async start(): Promise<Server> {
    const dataDir = await mkdtemp(path.join(tmpdir(), "colloquy-sourceloop-"));
    // Run by root, the server gives its private Postgres to another user, who must be able to come in here.
    await chmod(dataDir, 0o755);
    const server = new Server(dataDir, `127.0.0.1:${await freePort()}`);
    await server.#start();
    return server;
  }

  /** The address of a database of the private Postgres. */
  databaseUrl(name: string): string {
    return `postgres://colloquy@/${name}?host=${encodeURIComponent(path.join(this.dataDir, "run"))}`;
  }

  /** Talks to a database. */
  async sql<T>(name: string, talk: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ host: path.join(this.dataDir, "run"), user: "colloquy", database: name });
    await client.connect();
    try {
      return await talk(client);
    } finally {
      await client.end();
    }
  }

  /** Runs the import, which ends with 0 or 3, beside the server. */
  async import(source: string, ...options: string[]): Promise<Outcome> {
    const child = spawn(BINARY, ["import", "sourceloop", ...options], {
      env: {
        ...ENVIRONMENT,
        DATABASE_URL: this.databaseUrl("colloquy"),
        SOURCE_DATABASE_URL: this.databaseUrl(source),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    const [code] = (await once(child, "close")) as [number];
    assert.ok(code === 0 || code === 3, `the import ended with ${code}:\n${stderr}`);
    return { code, report: JSON.parse(stdout) as Report, stderr };
  }

  /** Executes a request of GraphQL as a user. */
  async query<T>(user: string, query: string, variables: Record<string, unknown> = {}): Promise<T> {
    const options = ["token", "--data-dir", this.dataDir, "--user", user];
    const token = (await promisify(execFile)(BINARY, options, { env: ENVIRONMENT })).stdout.trim();
    const response = await fetch(`http://${this.address}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await response.json()) as { data: T; errors?: unknown };
    assert.equal(errors, undefined, JSON.stringify(errors));
    return data;
  }

  async stop(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server && server.exitCode === null) {
      const ended = once(server, "exit");
      server.kill("SIGTERM");
      await ended;
    }
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const server = spawn(BINARY, ["--data-dir", this.dataDir, "--listen", this.address], {
      env: ENVIRONMENT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = server;
    for (const stream of [server.stdout, server.stderr]) {
      stream.on("data", (chunk) => (this.#output = (this.#output + chunk).slice(-8_000)));
    }
    await once(server, "spawn");
    for (const deadline = Date.now() + 60_000; !(await this.#isReady()); await sleep(50)) {
      assert.equal(server.exitCode, null, `the server ended before it was ready:\n${this.#output}`);
      assert.ok(Date.now() < deadline, `the server is not ready after a minute:\n${this.#output}`);
    }
  }

  async #isReady(): Promise<boolean> {
    const response = await fetch(`http://${this.address}/readyz`).catch(() => undefined);
    await response?.body?.cancel();
    return response?.status === 200;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address && typeof address === "object");
  server.close();
  await once(server, "close");
  return address.port;
}
