/** Talks to Colloquy: queries and mutations over HTTP, events over server-sent events. */

import { createClient } from "graphql-sse";
import type { ChatEventsSubscription, TypedDocumentString } from "./gql/graphql.js";
import { ChatEvents } from "./operations.js";

export type ChatEvent = ChatEventsSubscription["chatEvents"];

export class Colloquy {
  /** A server's address, which ends in `/graphql`, and the token of a user, which is asked for at each request. */
  constructor(
    readonly url: string,
    private readonly token: () => string | Promise<string>,
  ) {}

  /** Executes a query or a mutation. */
  async ask<Result, Variables>(document: TypedDocumentString<Result, Variables>, variables: Variables): Promise<Result> {
    const response = await fetch(this.url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/graphql-response+json",
        authorization: `Bearer ${await this.token()}`,
      },
      body: JSON.stringify({ query: document.toString(), variables }),
    });
    const { data, errors } = (await response.json()) as { data?: Result; errors?: { message: string }[] };
    if (errors || !data) throw new Error(errors?.map(({ message }) => message).join(" ") ?? `status ${response.status}`);
    return data;
  }

  /** Every event of a chat behind a cursor, each once and in order. Whoever breaks off goes on with the last cursor. */
  async *follow(chatId: string, after: string): AsyncGenerator<ChatEvent> {
    const client = createClient({
      url: this.url,
      // Its own retries would begin where the first try did, and tell everything again.
      retryAttempts: 0,
      headers: async () => ({ authorization: `Bearer ${await this.token()}` }),
    });
    try {
      const events = client.iterate<ChatEventsSubscription>({
        query: ChatEvents.toString(),
        variables: { chatId, after },
      });
      for await (const { data, errors } of events) {
        if (errors || !data) throw new Error(errors?.map(({ message }) => message).join(" "));
        yield data.chatEvents;
      }
    } finally {
      client.dispose();
    }
  }
}
