/** An instance as `colloquy init` writes it: the compose file holds together, and the client runs on two servers. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { parse } from "yaml";
import { overStdio } from "../src/agent.js";
import { BINARY, ENVIRONMENT, Server } from "../../testing/server.js";

const run = promisify(execFile);

interface Service {
  image?: string;
  build?: { context: string; additional_contexts?: Record<string, string> };
  command?: string[];
  entrypoint?: string[];
  env_file?: string;
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  volumes?: string[];
  ports?: string[];
}
interface Compose {
  name: string;
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
}

/** The settings of a file of variables. */
function variables(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.includes("=") && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

describe("an instance that was written", () => {
  let root: string, folder: string, compose: Compose, text: string;
  const read = (name: string) => readFile(path.join(folder, name), "utf8");

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "colloquy-init-"));
    folder = path.join(root, "chat");
    await run(BINARY, ["init", folder, "--name", "chat", "--port", "9100"], { env: ENVIRONMENT });
    text = await read("compose.yaml");
    compose = parse(text, { merge: true }) as Compose;
  });
  after(() => rm(root, { recursive: true, force: true }));

  it("has a database, its migrations, and two servers", () => {
    assert.equal(compose.name, "chat");
    assert.deepEqual(Object.keys(compose.services).sort(), ["migrate", "postgres", "server-1", "server-2"]);
    assert.match(compose.services["postgres"]!.image!, /^postgres:\d+$/);
    assert.deepEqual(compose.services["server-1"]!.ports, ["127.0.0.1:9100:8080"]);
    assert.deepEqual(compose.services["server-2"]!.ports, ["127.0.0.1:9101:8080"]);
  });

  it("refers only to what is there", async () => {
    for (const [name, service] of Object.entries(compose.services)) {
      assert.ok(service.image, name);
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        assert.ok(compose.services[other], other);
        assert.ok(["service_healthy", "service_completed_successfully"].includes(condition), condition);
      }
      for (const volume of service.volumes ?? []) assert.ok(volume.split(":")[0]! in compose.volumes, volume);
      if (service.build) {
        assert.equal(service.build.context, ".");
        const dockerfile = await read("Dockerfile");
        for (const [, context] of dockerfile.matchAll(/--from=(\w+)/g)) {
          const stages = [...dockerfile.matchAll(/ AS (\w+)/g)].map(([, stage]) => stage);
          const contexts = Object.keys(service.build.additional_contexts ?? {});
          assert.ok([...stages, ...contexts].includes(context), context);
        }
        assert.match(dockerfile, /ENTRYPOINT \["colloquy"\]/);
      }
      if (service.env_file) await access(path.join(folder, service.env_file));
    }
    assert.equal(compose.services["server-1"]!.depends_on!["migrate"]!.condition, "service_completed_successfully");
    assert.equal(compose.services["migrate"]!.depends_on!["postgres"]!.condition, "service_healthy");
  });

  it("takes from .env what is in it, and nothing else", async () => {
    const used = new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name!));
    for (const file of [".env", ".env.example"]) {
      assert.deepEqual(new Set(Object.keys(variables(await read(file)))), used, file);
    }
    const filled = variables(await read(".env"));
    assert.ok(filled["POSTGRES_PASSWORD"]!.length >= 43 && filled["COLLOQUY_JWT_SECRET"]!.length >= 43);
  });

  it("runs commands that there are, with flags that there are", async () => {
    const { stdout: help } = await run(BINARY, ["--help"], { env: ENVIRONMENT });
    const commands = [compose.services["server-1"]!, compose.services["server-2"]!, compose.services["migrate"]!];
    const words = commands.map(({ command }) => command!);
    // Those of the scripts.
    for (const script of ["migrate.sh", "token.sh"]) {
      const [, rest] = /docker compose run (.*)$/m.exec(await read(script))!;
      const [service, ...command] = rest!.split(" ").filter((word) => !/^--(rm|build|no-deps|no-TTY)$/.test(word));
      assert.ok(compose.services[service!], script);
      if (command.length > 0) words.push(command);
    }
    for (const [command, ...flags] of words) {
      assert.match(help, new RegExp(`^  ${command} `, "m"));
      const { stdout } = await run(BINARY, [command!, "--help"], { env: ENVIRONMENT });
      for (const flag of flags.filter((word) => word.startsWith("--"))) assert.ok(stdout.includes(`${flag} `), flag);
    }
    for (const script of ["migrate.sh", "token.sh", "try.sh"]) await run("sh", ["-n", path.join(folder, script)]);
  });

  it("has a client that generates its types, compiles, and is heard from one server to the other", async () => {
    const development = await Server.create();
    const servers: Server[] = [];
    try {
      // For its private Postgres.
      await development.start();
      const settings = {
        ...variables(await read("colloquy.env")),
        COLLOQUY_JWT_SECRET: variables(await read(".env"))["COLLOQUY_JWT_SECRET"]!,
        DATABASE_URL: development.databaseUrl(),
      };
      const env = { ...process.env, ...settings };
      const migrated = await run(BINARY, ["migrate"], { env });
      assert.match(migrated.stdout, /up to date/);
      for (const _ of ["server-1", "server-2"]) {
        const server = await Server.create(settings);
        servers.push(server);
        await server.start();
      }
      const token = async (user: string) => (await run(BINARY, ["token", "--user", user], { env })).stdout.trim();
      const options = {
        cwd: path.join(folder, "client"),
        env: {
          ...process.env,
          ALICE_TOKEN: await token("alice"),
          BOB_TOKEN: await token("bob"),
          COLLOQUY_URL: servers[0]!.url,
          COLLOQUY_OTHER_URL: servers[1]!.url,
        },
      };
      await run("npm", ["install", "--no-audit", "--no-fund"], options);
      await run("npm", ["run", "build"], options);
      const { stdout } = await run("npm", ["start"], { ...options, timeout: 30_000 });
      assert.ok(stdout.includes(`bob heard at ${servers[1]!.url}: Hello from ${servers[0]!.url}`), stdout);
    } finally {
      for (const server of servers) await server.remove();
      await development.remove();
    }
  });

  it("is written by an agent on this machine too, once", async () => {
    const agent = await overStdio(BINARY, "http://127.0.0.1:1/graphql", "of nobody");
    try {
      const other = path.join(root, "other");
      const written = await agent.call<{ files: { path: string }[] }>("scaffold_project", { folder: other });
      for (const file of written.files) await access(path.join(other, file.path));
      await assert.rejects(agent.call("scaffold_project", { folder: other }), /CONFLICT/);
    } finally {
      await agent.close();
    }
  });
});
