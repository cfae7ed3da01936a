// How the page talks to the server: queries and mutations by POST, subscriptions over WebSocket.

import { createClient } from 'graphql-ws';

/** A fetcher for GraphiQL; `onResult` is shown every result of an HTTP request. */
export function createFetcher(path, onResult) {
  return (params, { headers = {}, documentAST } = {}) => {
    if (isSubscription(documentAST, params.operationName)) return events(connect(path, headers), params);
    return post(path, params, headers).then((result) => {
      onResult(result);
      return result;
    });
  };
}

function isSubscription(document, name) {
  const operations = document?.definitions.filter(({ kind }) => kind === 'OperationDefinition') ?? [];
  const chosen = name ? operations.find((operation) => operation.name?.value === name) : operations[0];
  return chosen?.operation === 'subscription';
}

async function post(path, params, headers) {
  const response = await fetch(path, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json;q=0.9',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(params),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw failure(`${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
}

// The token travels in `connection_init`, once a connection, so each subscription gets a connection with the
// headers of its moment (GraphiQL runs one at a time). It opens with the stream and closes with it.
function connect(path, headers) {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  return createClient({
    url: url.href,
    connectionParams: lowerCased(headers),
    // No silent reconnection: whoever tries the API out wants to see that a stream has ended, and why.
    retryAttempts: 0,
  });
}

function lowerCased(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

// GraphiQL ends a stream with `return`, which a generator would obey only once its next event has come;
// the client's own iterator obeys at once, and is therefore passed on with nothing changed but its errors.
function events(client, params) {
  const stream = client.iterate(params);
  const iterator = {
    next: () => stream.next().catch(rethrow),
    return: () => stream.return(),
    throw: (error) => stream.throw(error),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

// The client throws a close event, an event, or a list of GraphQL errors; GraphiQL shows an `Error` well.
function rethrow(reason) {
  if (reason instanceof CloseEvent) throw failure(`The socket was closed: ${reason.code} ${reason.reason}`);
  if (reason instanceof Event) throw failure('The socket could not be opened.');
  throw reason;
}

// GraphiQL would show a stack, which says nothing about the API.
function failure(message) {
  return Object.assign(new Error(message.trim()), { stack: undefined });
}
