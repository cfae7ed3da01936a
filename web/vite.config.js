import { defineConfig } from 'vite';

export default defineConfig({
  // The server serves everything but the page itself under this path.
  build: {
    assetsDir: 'graphiql/assets',
    // Fonts and icons stay files of their own: the page's policy allows no `data:` fonts.
    assetsInlineLimit: 0,
    // The editor is loaded lazily and is large by nature.
    chunkSizeWarningLimit: 4000,
    // The preload polyfill is for browsers that GraphiQL does not run in.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // "use client" speaks to server-side renderers; nothing is lost by bundling it away.
      onwarn: (warning, report) => {
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') report(warning);
      },
    },
  },
  worker: { format: 'es' },
  server: {
    proxy: { '/graphql': { target: 'http://127.0.0.1:8080', ws: true } },
  },
});
