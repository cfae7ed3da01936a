/** The audits of `graphql-http`, which judge how a server speaks GraphQL over HTTP, but for what the edition says otherwise. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";
import { server } from "./world.js";

const MALFORMED =
  "JSON that is no GraphQL request is answered with 422: September 2026, 'Status Codes', and so the audits' 400 is only a MAY";
const COERCION = "Variables that do not fit are answered with 422: September 2026, 'Variable coercion failure'";
const SAME_STATUS =
  "A client that accepts application/json gets the same status as any other: September 2026, 'application/json'";

/** The audits that an older draft is behind, and what the edition of September 2026 has instead. */
const EXCEPTIONS: Record<string, string> = {
  "423L": MALFORMED, // no `query`
  LKJ0: MALFORMED, // `query` that is an object, a number, a boolean, a list
  LKJ1: MALFORMED,
  LKJ2: MALFORMED,
  LKJ3: MALFORMED,
  "6C00": MALFORMED, // `operationName`, in the same way
  "6C01": MALFORMED,
  "6C02": MALFORMED,
  "6C03": MALFORMED,
  "4760": MALFORMED, // `variables`
  "4761": MALFORMED,
  "4762": MALFORMED,
  "4763": MALFORMED,
  "58B0": MALFORMED, // `extensions`
  "58B1": MALFORMED,
  "58B2": MALFORMED,
  "58B3": MALFORMED,
  "3E3A": MALFORMED, // any of them
  "86EE": COERCION,
  "572B": SAME_STATUS, // a document that cannot be parsed
  FDE2: SAME_STATUS, // a document that does not validate
  "7B9B": SAME_STATUS, // variables that do not fit
};

const audits = serverAudits({ url: () => server.url, fetchFn: fetch });

for (const { id, name, fn } of audits) {
  test(`audit ${id}: ${name}`, async () => {
    const { status, ...result } = await fn();
    const reason = "reason" in result ? result.reason : undefined;
    if (id in EXCEPTIONS) {
      // Were it to pass, the exception would have to go.
      assert.notEqual(status, "ok", `this audit passes, and is listed as an exception`);
    } else {
      assert.equal(status, "ok", reason);
    }
  });
}

test("every exception is an audit", () => {
  const known = new Set(audits.map(({ id }) => id));
  assert.deepEqual(Object.keys(EXCEPTIONS).filter((id) => !known.has(id)), []);
});
