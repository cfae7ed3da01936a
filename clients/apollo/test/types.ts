/** Nothing here runs: the compiler is the test, and each expected error must be one. */

import type { ChatPageQuery, SendMessageMutationVariables, UserErrorCode } from "../src/gql/graphql.js";
import type { ChatEvent, Message } from "../src/operations.js";

export const complete: SendMessageMutationVariables = { input: { chatId: "chat", body: "hello" } };
// Beside attachments, a message needs no body.
export const bare: SendMessageMutationVariables = { input: { chatId: "chat", attachmentIds: ["att_1"] } };
// @ts-expect-error: a message needs a chat
export const incomplete: SendMessageMutationVariables = { input: { body: "hello" } };

export const code: UserErrorCode = "TOO_LONG";
// @ts-expect-error: not one of the codes
export const unknownCode: UserErrorCode = "TOO_LOUD";

export function narrowing(event: ChatEvent, page: ChatPageQuery, message: Message): string {
  // @ts-expect-error: not every event has a message
  event.message;
  // @ts-expect-error: the chat may not be there
  page.chat.id;
  // @ts-expect-error: a deleted message has no body
  const body: string = message.body;
  const createdAt: string = message.createdAt;
  return event.__typename === "MessageSent" ? event.message.id : body + createdAt;
}
