/** What can go wrong on the way, and which of it passes by itself. */

import { CombinedGraphQLErrors, ServerError } from "@apollo/client/errors";
import { defer, type MonoTypeOperatorFunction, retry, tap, throwError, timer } from "rxjs";

/**
 * The socket under a subscription is gone. `code` is missing where it could not be opened at all, and `established`
 * says whether the server had accepted it before.
 */
export class SocketClosed extends Error {
  override readonly name = "SocketClosed";

  constructor(
    readonly code: number | undefined,
    readonly established: boolean,
    reason = "",
  ) {
    super(`the socket closed${code === undefined ? "" : ` with ${code}`}${reason && `: ${reason}`}`);
  }
}

/** The server's log no longer continues from this cursor: load the chat afresh. */
export class CursorExpired extends Error {
  override readonly name = "CursorExpired";
}

/** The server's code for an error: `UNAUTHENTICATED`, `NOT_FOUND`, … Undefined if the server never answered. */
export function errorCode(error: unknown): string | undefined {
  const code = CombinedGraphQLErrors.is(error) ? error.errors[0]?.extensions?.["code"] : undefined;
  return typeof code === "string" ? code : undefined;
}

const FORBIDDEN = 4403;

/** Close codes that the next attempt would only earn again: a refused token, a mistake in the client. */
const FINAL_CLOSE_CODES = new Set([4004, 4005, 4400, 4401, FORBIDDEN, 4406, 4409, 4429]);

/** Whether the same request may succeed a little later. */
export function isTransient(error: unknown): boolean {
  if (error instanceof SocketClosed) {
    // A token that was good and has run out: the next socket asks for a new one.
    if (error.code === FORBIDDEN && error.established) return true;
    return error.code === undefined || !FINAL_CLOSE_CODES.has(error.code);
  }
  if (ServerError.is(error)) return error.statusCode >= 500;
  if (CombinedGraphQLErrors.is(error)) return ["RATE_LIMITED", "SERVICE_UNAVAILABLE"].includes(errorCode(error) ?? "");
  return error instanceof TypeError; // how fetch reports that the network failed
}

/**
 * Subscribes anew after every transient error, soon at first and then ever less often, with jitter: the clients
 * of a server that restarts do not all return in the same instant.
 */
export function retryTransient<T>(): MonoTypeOperatorFunction<T> {
  return (source) =>
    defer(() => {
      let failures = 0;
      let lastFailure = 0;
      const delay = (error: unknown) => {
        if (!isTransient(error)) return throwError(() => error);
        if (Date.now() - lastFailure > 60_000) failures = 0; // it stood for a while, if in silence
        lastFailure = Date.now();
        return timer(Math.min(30_000, 250 * 2 ** failures++) * (0.5 + Math.random() / 2));
      };
      return source.pipe(
        tap(() => (failures = 0)),
        retry({ delay }),
      );
    });
}
