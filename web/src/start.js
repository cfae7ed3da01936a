// The page itself. Bundled by Vite (main.js) and also served as it is to the page that loads GraphiQL from a
// CDN (cdn.js), hence no JSX and no import of a style here.

import { createElement, useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import { useGraphiQL } from '@graphiql/react';
import { chatIdIn, defaultTabs, withChatId } from './documents.js';
import { createFetcher } from './fetcher.js';
import { onTokenInAddress, openSession } from './session.js';

const { user, headers, storage } = openSession();
// A loaded page keeps its token for its life: another one starts afresh.
onTokenInAddress(() => window.location.reload());

// The chat that the last answer was about, for the tabs that need one.
let knownChatId = null;
const fetcher = createFetcher('/graphql', (result) => {
  knownChatId = chatIdIn(result) ?? knownChatId;
});

document.title = user ? `${user} – Colloquy` : 'Colloquy';
createRoot(document.getElementById('graphiql')).render(createElement(Page));

function Page() {
  return createElement(
    GraphiQL,
    {
      fetcher,
      storage,
      // `storage` ends with the browser tab, so keeping headers in it is keeping them for a reload.
      shouldPersistHeaders: true,
      showPersistHeadersSettings: false,
      defaultHeaders: headers,
      defaultTabs: defaultTabs(user, headers),
      // Whoever is signed in has no more business with the headers.
      defaultEditorToolsVisibility: headers ? 'variables' : 'headers',
      inputValueDeprecation: true,
      schemaDescription: true,
    },
    createElement(GraphiQL.Logo, null, user ? `Colloquy · ${user}` : 'Colloquy'),
    createElement(ChatIdFiller),
  );
}

/** Fills an empty `chatId` of the tab that is being opened. */
function ChatIdFiller() {
  const { editor, tab } = useGraphiQL((state) => ({
    editor: state.variableEditor,
    tab: state.activeTabIndex,
  }));
  useEffect(() => {
    if (!editor || knownChatId === null) return;
    const filled = withChatId(editor.getValue(), knownChatId);
    if (filled !== null) editor.setValue(filled);
  }, [editor, tab]);
  return null;
}
