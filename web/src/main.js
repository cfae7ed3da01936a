// What this build bundles: the styles one by one, because the collected `graphiql/style.css` carries
// 600 kB of fonts, and the workers as files of this server.
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import './fonts.css';
import 'graphiql/setup-workers/vite';
import './start.js';
