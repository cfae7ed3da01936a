/** All tests, in one process: they share a server, and take turns. */

import "./tools.js";
import "./revisions.js";
import "./scaffold.js";
