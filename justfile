# What can be done here; `just check` is what has to pass.
default:
    @just --list

# Everything that has to pass.
check: fmt clippy docs test

# Formatting.
fmt:
    cargo fmt --check

# Lints, as errors.
clippy:
    cargo clippy --locked --all-targets -- -D warnings

# The documentation builds without a warning.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# The tests, on a private Postgres.
test:
    cargo test --locked

# The fault suite's long form, on the release binary; without a seed it takes one at random.
faults seconds="120" seed="":
    COLLOQUY_FAULTS_SECONDS={{seconds}} COLLOQUY_FAULTS_SEED={{seed}} \
        cargo test --locked --release --test faults nothing_is_lost -- --nocapture

# The tests of real clients, on the built binary.
client:
    cargo build --locked
    cd clients/apollo && npm ci && npm test
    cd clients/mcp && npm ci && npm test
    cd clients/socketio && npm ci && npm test
    cd clients/sourceloop && npm ci && npm test

# Write schema.graphql and the snapshots anew.
bless:
    COLLOQUY_BLESS=1 cargo test --test it schema
    INSTA_UPDATE=always cargo test

# The offline GraphiQL page; build the server again after it.
web:
    cd web && npm ci && npm run build

# Licences, advisories and bans of the dependencies; unused ones; spelling (needs the three tools).
audit:
    cargo deny check
    cargo machete
    typos

# What the performance claims rest on.
bench:
    cargo bench --bench load
    cargo bench --bench realtime
