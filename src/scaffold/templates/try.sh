#!/bin/sh
# Sends a message to one server as Alice, and hears it at the other as Bob.
set -eu
cd "$(dirname "$0")"
ALICE_TOKEN=$(./token.sh alice Alice)
BOB_TOKEN=$(./token.sh bob Bob)
export ALICE_TOKEN BOB_TOKEN
cd client
npm install --no-audit --no-fund
npm run build
npm start
