// The start of the page for a build without offline assets: the import map of that page says where the
// packages come from. Imports are dynamic so that the page can say when they do not come.

for (const place of document.querySelectorAll('.origin')) place.textContent = window.location.origin;

try {
  await import('graphiql/setup-workers/esm.sh');
  await import('./start.js');
  document.body.classList.add('loaded');
} catch (error) {
  console.error(error);
  document.getElementById('state').textContent = 'The editor could not be loaded: is esm.sh reachable from here?';
}
