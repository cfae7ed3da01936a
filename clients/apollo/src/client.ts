/** An ApolloClient for Colloquy: HTTP for queries and mutations, one WebSocket for subscriptions. */

import { ApolloClient, ApolloLink, HttpLink } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { type Client as Socket, createClient } from "graphql-ws";
import { createCache } from "./cache.js";
import { SocketClosed } from "./errors.js";

export interface ColloquyOptions {
  /** The server's GraphQL address; the WebSocket's is the same with another scheme. */
  url: string;
  /** Asked for each request and each new socket, so that a renewed token is picked up. */
  token: () => string | Promise<string>;
  /** Milliseconds of silence after which the socket is probed. */
  keepAlive?: number;
}

export interface Colloquy {
  apollo: ApolloClient;
  socket: Socket;
  /** Unsubscribe from everything first. */
  close(): Promise<void>;
}

export function connect(options: ColloquyOptions): Colloquy {
  const socket = createSocket(options);
  const authorize = new SetContextLink(async ({ headers }) => ({
    headers: { ...headers, authorization: `Bearer ${await options.token()}` },
  }));
  const apollo = new ApolloClient({
    cache: createCache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === "subscription",
      new GraphQLWsLink(keepCloseCodes(socket)),
      authorize.concat(new HttpLink({ uri: options.url })),
    ),
  });
  return {
    apollo,
    socket,
    close: async () => {
      apollo.stop();
      await socket.dispose();
    },
  };
}

function createSocket({ url, token, keepAlive = 10_000 }: ColloquyOptions): Socket {
  let overdue: ReturnType<typeof setTimeout>;
  const socket: Socket = createClient({
    url: url.replace(/^http/, "ws"),
    connectionParams: async () => ({ authorization: `Bearer ${await token()}` }),
    connectionAckWaitTimeout: 10_000,
    lazyCloseTimeout: 1_000, // going from one chat to the next keeps the socket

    // Never more than one life for a subscription. graphql-ws would start it again with the variables it had in the
    // beginning, and so with a cursor that is long out of date. Resuming is the business of events.ts.
    retryAttempts: 0,

    // A network that goes away without a word sends no close frame: a ping without a pong is the only sign of it.
    keepAlive,
    on: {
      ping: (received) => {
        if (!received) overdue = setTimeout(() => socket.terminate(), keepAlive / 2);
      },
      pong: (received) => {
        if (received) clearTimeout(overdue);
      },
      closed: () => clearTimeout(overdue),
    },
  });
  return socket;
}

/** GraphQLWsLink folds a close event into a sentence; an Error it hands on as it is, so the code survives in one. */
function keepCloseCodes(socket: Socket): Socket {
  let established = false;
  socket.on("connecting", () => (established = false));
  socket.on("connected", () => (established = true));

  const toError = (event: unknown): SocketClosed => {
    const { code, reason, message } = event as { code?: unknown; reason?: unknown; message?: unknown };
    return new SocketClosed(typeof code === "number" ? code : undefined, established, String(reason || message || ""));
  };
  return {
    ...socket,
    subscribe: (payload, sink) =>
      socket.subscribe(payload, {
        next: (result) => sink.next(result as never),
        complete: () => sink.complete(),
        error: (error) => sink.error(Array.isArray(error) ? error : toError(error)), // an array is the server's answer
      }),
  };
}
