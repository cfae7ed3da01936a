/** All tests, in one process: they share a server, and take turns. */

import "./messages.js";
import "./events.js";
import "./authentication.js";
import "./offline.js";
import "./transports.js";
import "./audits.js";
import "./restart.js";
