// Whom this window speaks as, and what it remembers.
//
// Everything lives in `sessionStorage`, which belongs to one browser tab: alice and bob side by side never
// see each other's token, and nothing outlives the tab. Within it each user has a namespace, so that opening
// another user's link in the same tab brings up that user's documents.

const TOKEN_KEY = 'colloquy:token';
// GraphiQL's own names for what it stores.
const TABS_KEY = 'graphiql:tabState';
const HEADERS_KEY = 'graphiql:headers';

/** The session of the token in the address bar, else of this tab's last one, else an anonymous one. */
export function openSession() {
  const fresh = takeTokenFromAddress();
  if (fresh !== null) sessionStorage.setItem(TOKEN_KEY, fresh);
  const token = sessionStorage.getItem(TOKEN_KEY) ?? '';
  const user = subjectOf(token);
  const headers = token ? JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2) : '';
  const storage = namespaced(`colloquy:${user}:`);
  if (fresh !== null) replaceHeaders(storage, headers);
  return { user, headers, storage };
}

/** Calls back when a link with a token is opened in a page that is already loaded. */
export function onTokenInAddress(callback) {
  window.addEventListener('hashchange', () => {
    if (tokenInAddress() !== null) callback();
  });
}

function tokenInAddress() {
  return new URLSearchParams(window.location.hash.slice(1)).get('token');
}

// A fragment is never sent to a server; taking it away keeps it out of the history and of screenshots too.
function takeTokenFromAddress() {
  const token = tokenInAddress();
  if (token === null) return null;
  window.history.replaceState(null, '', window.location.pathname + window.location.search);
  return token.trim();
}

// Only for naming things: the server alone judges a token.
function subjectOf(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof sub === 'string' ? sub : '';
  } catch {
    return '';
  }
}

// GraphiQL asks for a `Storage`; it is given the part of one whose keys start with `prefix`.
function namespaced(prefix) {
  const keys = () => Object.keys(sessionStorage).filter((key) => key.startsWith(prefix));
  return {
    getItem: (key) => sessionStorage.getItem(prefix + key),
    setItem: (key, value) => sessionStorage.setItem(prefix + key, value),
    removeItem: (key) => sessionStorage.removeItem(prefix + key),
    clear: () => keys().forEach((key) => sessionStorage.removeItem(key)),
    get length() {
      return keys().length;
    },
  };
}

// A new token for a known user: the documents stay, the old token must not.
function replaceHeaders(storage, headers) {
  const stored = storage.getItem(TABS_KEY);
  if (stored === null) return;
  try {
    const state = JSON.parse(stored);
    for (const tab of state.tabs) tab.headers = headers;
    storage.setItem(TABS_KEY, JSON.stringify(state));
    storage.setItem(HEADERS_KEY, headers);
  } catch {
    storage.clear();
  }
}
