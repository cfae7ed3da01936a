/** The service's own migration, out of the package that its makers publish. It is in nobody's repository but theirs. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const PACKAGE = "@sourceloop/chat-service@17.0.6";
const INTEGRITY =
  "m3IcabKw3GK/AO349JGsuYUG9uxkHPcnd5sh4M4ciVbJ7tGdq29i7MmCP1/mLgKA35JBs6SGfQiGbAtbUlkTjQ==";
const MIGRATION = "package/migrations/pg/migrations/sqls/20201103141746-init-script-up.sql";

/**
 * Its SQL. The package is fetched and not installed: installing it runs a script that migrates whatever database it finds
 * in the environment, and the migration begins by dropping schemas.
 */
export async function migration(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "sourceloop-"));
  try {
    const packed = await run("npm", ["pack", PACKAGE, "--json", "--ignore-scripts"], { cwd: folder });
    const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
    const archive = path.join(folder, filename);
    const hash = createHash("sha512").update(await readFile(archive)).digest("base64");
    assert.equal(hash, INTEGRITY, "the package is another than the tests were written for");
    return (await run("tar", ["-xzOf", archive, MIGRATION])).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
