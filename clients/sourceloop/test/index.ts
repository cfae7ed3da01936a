import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import type pg from "pg";

import { migration } from "./migration.js";
import { Server } from "../../testing/server.js";
import { moveIn, sql } from "./moving.js";

const SOURCE = "sourceloop";
const PEOPLE = Array.from({ length: 6 }, () => randomUUID());
const CHANNELS = Array.from({ length: 5 }, () => randomUUID());
const MESSAGES = 1203;

let server: Server;

before(async () => {
  server = await Server.create();
  await server.start();
  await sql(server, "postgres", (client) => client.query(`CREATE DATABASE ${SOURCE}`));
  const statements = await migration();
  await sql(server, SOURCE, async (client) => {
    await client.query(statements);
    await fill(client);
  });
});

after(() => server.remove());

/** Chat as it happens: everybody of a channel receives what is written there, and has read some of it. */
async function fill(client: pg.Client): Promise<void> {
  await client.query(
    `INSERT INTO main.messages (body, channel_id, channel_type, created_by, created_on, modified_on, subject)
     SELECT 'message ' || n, ($1::uuid[])[1 + n % 5], 'task', ($2::uuid[])[1 + (n / 5) % 6],
       t.at, t.at, CASE WHEN n % 10 = 0 THEN 'subject ' || n END
     FROM generate_series(1, $3::integer) AS n, LATERAL (SELECT '2024-01-01Z'::timestamptz + n / 3 * interval '1 second' AS at) AS t`,
    [CHANNELS, PEOPLE, MESSAGES],
  );
  await client.query(
    `INSERT INTO main.message_recipients (channel_id, message_id, recipient_id, is_read, is_favorite)
     SELECT m.channel_id, m.id, p.id, m.created_on < '2024-01-01 00:05:00Z', m.subject IS NOT NULL AND p.place = 1
     FROM main.messages AS m, unnest($1::uuid[]) WITH ORDINALITY AS p (id, place) WHERE p.id <> m.created_by`,
    [PEOPLE],
  );
  // What updates a row also sets its modified_on, by the service's trigger.
  await client.query(
    `UPDATE main.messages SET deleted = true, deleted_by = created_by, deleted_on = created_on + interval '1 hour'
     WHERE body LIKE '%7'`,
  );
  await client.query(
    `UPDATE main.messages AS m SET parent_message_id = p.id FROM main.messages AS p
     WHERE m.body LIKE '%55' AND p.channel_id = m.channel_id
     AND p.body = 'message ' || (split_part(m.body, ' ', 2)::integer - 5)`,
  );
}

interface Row {
  id: string;
  body: string | null;
  sender: string;
  at: string;
  parent: string | null;
}

/** The messages of the channels there, by channel. */
async function there(channel: string): Promise<Row[]> {
  return sql(server, SOURCE, async (client) => {
    const { rows } = await client.query<Row>(
      `SELECT id::text, CASE WHEN NOT deleted THEN body END AS body, created_by::text AS sender,
         to_char(created_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, parent_message_id::text AS parent
       FROM main.messages WHERE channel_id = $1 ORDER BY created_on, id`,
      [channel],
    );
    return rows;
  });
}

interface Page {
  chatByExternalReference: {
    id: string;
    unreadCount: number;
    messages: {
      pageInfo: { hasNextPage: boolean; endCursor: string };
      nodes: {
        body: string | null;
        sender: { id: string };
        createdAt: string;
        replyTo: { body: string | null } | null;
      }[];
    };
  };
}

const PAGE = `query ($type: String!, $channel: String!, $after: String) {
  chatByExternalReference(channelType: $type, channelId: $channel) { id unreadCount
    messages(first: 100, after: $after) { pageInfo { hasNextPage endCursor }
      nodes { body sender { id } createdAt replyTo { body } } } } }`;

/** The messages of a channel here, through the API. */
async function here(person: string, channel: string): Promise<Page["chatByExternalReference"]["messages"]["nodes"]> {
  const all = [];
  for (let after: string | undefined; ; ) {
    const page: Page = await server.query(person, PAGE, { type: "sourceloop", channel, after });
    const { nodes, pageInfo } = page.chatByExternalReference.messages;
    all.push(...nodes);
    if (!pageInfo.hasNextPage) return all;
    after = pageInfo.endCursor;
  }
}

test("everything of the service's own tables is here, in its order", async () => {
  const tried = await moveIn(server, SOURCE, "--dry-run");
  assert.equal(tried.report.messages.written, MESSAGES);
  const { code, report, stderr } = await moveIn(server, SOURCE);
  assert.equal(code, report.notMapped.length === 0 ? 0 : 3, stderr);
  assert.deepEqual(report.chats, { made: CHANNELS.length, known: 0, skipped: 0 });
  assert.deepEqual(report.messages, { read: MESSAGES, written: MESSAGES, known: 0, skipped: 0 });
  for (const channel of CHANNELS) {
    const [before, now] = [await there(channel), await here(PEOPLE[0]!, channel)];
    assert.deepEqual(
      now.map(({ body, sender, createdAt }) => ({ body, sender: sender.id, at: createdAt })),
      before.map(({ body, sender, at }) => ({ body, sender, at })),
    );
    const bodies = new Map(before.map(({ id, body }) => [id, body]));
    const places = new Map(before.map(({ id }, place) => [id, place]));
    before.forEach(({ parent }, place) => {
      const answers = parent !== null && places.get(parent)! < place;
      assert.equal(now[place]!.replyTo !== null, answers);
      if (answers) assert.equal(now[place]!.replyTo!.body, bodies.get(parent));
    });
  }
});

test("favourites are stars, and what was read is read", async () => {
  const [count] = await sql(server, SOURCE, async (client) => {
    const { rows } = await client.query<{ count: string }>("SELECT count(*) FROM main.message_recipients WHERE is_favorite");
    return rows;
  });
  const stars = await sql(server, "colloquy", async (client) => {
    const { rows } = await client.query<{ count: string }>("SELECT count(*) FROM stars WHERE user_id = $1", [PEOPLE[0]]);
    return rows[0]!.count;
  });
  assert.equal(stars, count!.count);
  // Who wrote or read something has read what stands before it: the marks here only go forward.
  const before = await unread(
    SOURCE,
    `WITH seen AS (SELECT channel_id, created_by AS person, created_on, id FROM main.messages
       UNION ALL SELECT m.channel_id, r.recipient_id, m.created_on, m.id FROM main.message_recipients AS r
       JOIN main.messages AS m ON m.id = r.message_id WHERE r.is_read),
     marks AS (SELECT DISTINCT ON (channel_id, person) * FROM seen ORDER BY channel_id, person, created_on DESC, id DESC)
     SELECT person::text, count(*) FROM marks AS k JOIN main.messages AS m USING (channel_id)
     WHERE (m.created_on, m.id) > (k.created_on, k.id) AND m.created_by <> k.person GROUP BY person ORDER BY 1`,
  );
  const now = await unread(
    "colloquy",
    `SELECT p.user_id AS person, count(*) FROM participants AS p JOIN messages AS m USING (chat_id)
     WHERE m.seq > p.read_seq AND m.sender_id <> p.user_id GROUP BY 1 ORDER BY 1`,
  );
  assert.ok(before.length > 0);
  assert.deepEqual(now, before);
});

async function unread(database: string, query: string): Promise<{ person: string; count: string }[]> {
  return sql(server, database, async (client) => (await client.query(query)).rows);
}

test("a second run writes nothing, and a later one what came since", async () => {
  const again = await moveIn(server, SOURCE);
  assert.deepEqual(again.report.messages, { read: MESSAGES, written: 0, known: MESSAGES, skipped: 0 });
  assert.equal(again.report.stars.set, 0);
  await sql(server, SOURCE, (client) =>
    client.query(
      "INSERT INTO main.messages (body, channel_id, channel_type, created_by) VALUES ('since', $1, 'task', $2)",
      [CHANNELS[0], PEOPLE[1]],
    ),
  );
  const later = await moveIn(server, SOURCE);
  assert.equal(later.report.messages.written, 1);
  assert.equal((await here(PEOPLE[0]!, CHANNELS[0]!)).at(-1)?.body, "since");
});
