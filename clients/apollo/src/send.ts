/** Sending. */

import type { ApolloClient } from "@apollo/client";
import { defer, firstValueFrom } from "rxjs";
import { appendMessage } from "./cache.js";
import { retryTransient } from "./errors.js";
import type { SendMessageMutation } from "./gql/graphql.js";
import { SendMessage } from "./operations.js";

export type SendResult = NonNullable<SendMessageMutation["sendMessage"]>;

/**
 * Sends a message once, however often it has to be tried: an answer that was lost on the way leaves open whether
 * the message exists, and the key makes the next try find it.
 */
export function sendMessage(apollo: ApolloClient, chatId: string, body: string): Promise<SendResult> {
  const idempotencyKey = crypto.randomUUID();
  const attempt = defer(() =>
    apollo.mutate({
      mutation: SendMessage,
      variables: { input: { chatId, body, idempotencyKey } },
      update: (cache, { data }) => {
        const message = data?.sendMessage?.message;
        if (message) appendMessage(cache, chatId, message);
      },
    }),
  );
  return firstValueFrom(attempt.pipe(retryTransient())).then(({ data }) => data!.sendMessage!);
}
