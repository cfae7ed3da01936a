#!/bin/sh
# Prints a token for a user, valid for an hour: ./token.sh alice Alice
# Your application signs tokens itself, with the secret in .env.
set -eu
cd "$(dirname "$0")"
exec docker compose run --rm --no-deps --no-TTY server-1 token --user "$1" --name "${2:-$1}"
