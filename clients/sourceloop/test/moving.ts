/** The import, run beside a server in whose private Postgres there is room for the other service's database. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";

import pg from "pg";

import { BINARY, ENVIRONMENT, type Server } from "../../testing/server.js";

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

/** Talks to a database of the server's private Postgres. */
export async function sql<T>(server: Server, name: string, talk: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ host: server.postgres, user: "colloquy", database: name });
  await client.connect();
  try {
    return await talk(client);
  } finally {
    await client.end();
  }
}

/** Runs the import, which ends with 0 or 3, beside the server. */
export async function moveIn(server: Server, source: string, ...options: string[]): Promise<Outcome> {
  const child = spawn(BINARY, ["import", "sourceloop", ...options], {
    env: { ...ENVIRONMENT, DATABASE_URL: server.databaseUrl(), SOURCE_DATABASE_URL: server.databaseUrl(source) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const [code] = (await once(child, "close")) as [number];
  assert.ok(code === 0 || code === 3, `the import ended with ${code}:\n${stderr}`);
  return { code, report: JSON.parse(stdout) as Report, stderr };
}
