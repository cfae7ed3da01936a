/** All tests, in one process: they share a server, and take turns. */

import "./client.js";
