/**
 * A Colloquy of a test's own: the real binary, on a free port, over a folder that goes away afterwards; or over the
 * database that its settings name. The tests of all clients share it.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

// npm runs scripts in the project's folder, and the default is relative to that.
export const BINARY = path.resolve(process.env["COLLOQUY_BIN"] ?? "../../target/debug/colloquy");

/** Settings of the machine must not reach the server; calls in a row must not meet a limit. */
export const ENVIRONMENT = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.endsWith("DATABASE_URL") && !name.startsWith("COLLOQUY_"),
    ),
  ),
  COLLOQUY_RATE_LIMITS: "off",
};

export class Server {
  #process: ChildProcess | undefined;
  #output = "";

  private constructor(
    private readonly dataDir: string,
    private readonly address: string,
    private readonly settings: Record<string, string>,
  ) {
    process.once("exit", () => this.#process?.kill());
  }

  static async create(settings: Record<string, string> = {}): Promise<Server> {
    const dataDir = await mkdtemp(path.join(tmpdir(), "colloquy-client-"));
    // Run by root, the server gives its private Postgres to another user, who must be able to come in here.
    await chmod(dataDir, 0o755);
    return new Server(dataDir, `127.0.0.1:${await freePort()}`, settings);
  }

  get url(): string {
    return `http://${this.address}/graphql`;
  }

  /** Where the server is, without a path. */
  get origin(): string {
    return `http://${this.address}`;
  }

  /** The folder of the socket of the server's own Postgres. */
  get postgres(): string {
    return path.join(this.dataDir, "run");
  }

  /** The address of a database in the server's own Postgres, while it runs. */
  databaseUrl(name = "colloquy"): string {
    return `postgres://colloquy@/${name}?host=${encodeURIComponent(this.postgres)}`;
  }

  async start(): Promise<void> {
    const server = spawn(BINARY, ["--data-dir", this.dataDir, "--listen", this.address], {
      env: { ...ENVIRONMENT, ...this.settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = server;
    this.#output = "";
    for (const stream of [server.stdout, server.stderr]) {
      stream.on("data", (chunk) => (this.#output = (this.#output + chunk).slice(-8_000)));
    }
    await once(server, "spawn");
    for (const deadline = Date.now() + 60_000; !(await this.#isReady()); await sleep(50)) {
      assert.equal(server.exitCode, null, `the server ended before it was ready:\n${this.#output}`);
      assert.ok(Date.now() < deadline, `the server is not ready after a minute:\n${this.#output}`);
    }
  }

  /** Asks the server to end, which it does within 15 seconds and with success. */
  async stop(): Promise<void> {
    const server = this.#process;
    if (!server) return;
    this.#process = undefined;
    const ended = server.exitCode === null ? once(server, "exit") : Promise.resolve([server.exitCode]);
    server.kill("SIGTERM");
    const outcome = await Promise.race([ended, sleep(15_000, undefined, { ref: false })]);
    if (!outcome) server.kill("SIGKILL");
    assert.equal(outcome?.[0], 0, `the server did not stop cleanly:\n${this.#output}`);
  }

  async remove(): Promise<void> {
    try {
      await this.stop();
    } finally {
      await rm(this.dataDir, { recursive: true, force: true });
    }
  }

  /** A token for a user of this server, made by the binary itself. */
  async token(user: string, name: string): Promise<string> {
    const run = promisify(execFile);
    const options = ["token", "--data-dir", this.dataDir, "--user", user, "--name", name];
    return (await run(BINARY, options, { env: { ...ENVIRONMENT, ...this.settings } })).stdout.trim();
  }

  /** Executes a request of GraphQL as a user. */
  async query<T>(user: string, query: string, variables: Record<string, unknown>): Promise<T> {
    const response = await fetch(this.url, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await this.token(user, user)}` },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await response.json()) as { data: T; errors?: unknown };
    assert.equal(errors, undefined);
    return data;
  }

  async #isReady(): Promise<boolean> {
    const response = await fetch(`http://${this.address}/readyz`).catch(() => undefined);
    await response?.body?.cancel();
    return response?.status === 200;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  assert.ok(address && typeof address === "object");
  return address.port;
}
