//! An agent, which speaks the protocol as it stands: JSON-RPC in lines with a process that it starts, or over HTTP.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::socket::PATIENCE;
use crate::support::user::Answer;
use crate::support::{User, run};

/// The revision of the protocol that is spoken.
pub(crate) const REVISION: &str = "2025-06-18";

/// Where the token of an agent is.
pub(crate) enum Token<'a> {
    Variable(&'a str),
    File(&'a Path),
    None,
}

/// How an agent is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a process that it starts.
    Process,
    /// By the server itself.
    Http,
}

/// Runs a test for agents that are served in either way.
pub(crate) fn each_way(test: impl AsyncFn(Way)) {
    run(async {
        for way in [Way::Process, Way::Http] {
            test(way).await;
        }
    });
}

/// An agent.
pub(crate) enum Agent {
    Process(Box<Process>),
    Http(User),
}

/// An agent's server in a process of its own.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

/// What a tool answered.
#[derive(Debug)]
pub(crate) struct Called(pub(super) Value);

impl Called {
    /// What it answered, which is no failure.
    pub(crate) fn done(self) -> Value {
        assert_eq!(self.0["isError"], false, "{}", self.0);
        let text = self.0["content"][0]["text"].as_str().unwrap();
        let text: Value = serde_json::from_str(text).unwrap();
        assert_eq!(text, self.0["structuredContent"]);
        text
    }

    /// The failures that it is.
    pub(crate) fn failures(&self) -> Vec<Value> {
        assert_eq!(self.0["isError"], true, "{}", self.0);
        assert_eq!(self.0.get("structuredContent"), None);
        let text = self.0["content"][0]["text"].as_str().unwrap();
        let said: Value = serde_json::from_str(text).unwrap();
        said["errors"].as_array().unwrap().clone()
    }

    /// The code of the one failure that it is.
    pub(crate) fn code(&self) -> String {
        let failures = self.failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures[0]["code"].as_str().unwrap().to_owned()
    }
}

/// The command of a server for an agent, with none of our variables set.
pub(crate) fn command(url: &str, token: &Token<'_>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colloquy"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COLLOQUY_") {
            command.env_remove(name);
        }
    }
    command.args(["mcp", "--url", url]);
    match token {
        Token::Variable(token) => command.env("COLLOQUY_TOKEN", token),
        Token::File(path) => command.arg("--token-file").arg(path),
        Token::None => &mut command,
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Agent {
    /// The agent of a user, on the server that they speak to.
    pub(crate) async fn of(user: &User, way: Way) -> Self {
        if way == Way::Http {
            let mut agent = Self::Http(user.clone());
            agent.request("initialize", hello()).await;
            return agent;
        }
        let url = format!("http://{}/graphql", user.address);
        let token = user.token.as_deref().map_or(Token::None, Token::Variable);
        let process = Process::start(command(&url, &token)).await;
        Self::Process(Box::new(process))
    }

    /// Asks for something, and returns the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        match self {
            Self::Process(process) => process.ask(method, params).await,
            Self::Http(user) => {
                let request =
                    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
                let answer = post(user, &request, &[]).await;
                assert_eq!(
                    answer.status,
                    200,
                    "{}",
                    String::from_utf8_lossy(&answer.body)
                );
                message(&answer)
            }
        }
    }

    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        assert_eq!(answer.get("error"), None, "{answer}");
        answer["result"].clone()
    }

    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Called {
        let params = json!({ "name": tool, "arguments": arguments });
        Called(self.request("tools/call", params).await)
    }

    /// What a tool answers that does not fail.
    pub(crate) async fn does(&mut self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).await.done()
    }
}

/// What a client begins with.
pub(crate) fn hello() -> Value {
    json!({
        "protocolVersion": REVISION,
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    })
}

/// Sends a message over HTTP, as this user.
pub(crate) async fn post(user: &User, message: &Value, more: &[(&str, &str)]) -> Answer {
    post_as(REVISION, user, message, more).await
}

/// Sends a message of a revision of the protocol.
pub(crate) async fn post_as(
    revision: &str,
    user: &User,
    message: &Value,
    more: &[(&str, &str)],
) -> Answer {
    let token = user.token.as_ref().map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", revision),
    ];
    if let Some(token) = &token {
        headers.push(("authorization", token));
    }
    headers.extend(more);
    user.http("POST", "/mcp", &headers, message.to_string().as_bytes())
        .await
}

/// The one message that an answer over HTTP holds.
pub(crate) fn message(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let text = std::str::from_utf8(&answer.body).unwrap();
    let told = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let told: Vec<&str> = told.filter(|data| !data.is_empty()).collect();
    assert_eq!(told.len(), 1, "{text}");
    serde_json::from_str(told[0]).unwrap()
}

impl Process {
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Called {
        let params = json!({ "name": tool, "arguments": arguments });
        Called(self.request("tools/call", params).await)
    }

    pub(crate) async fn does(&mut self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).await.done()
    }

    pub(crate) async fn start(mut command: Command) -> Self {
        let mut agent = Self::spawn(&mut command);
        let said = agent.request("initialize", hello()).await;
        assert_eq!(said["protocolVersion"], REVISION);
        agent
            .say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        agent
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            input,
            output,
            last_id: 0,
        }
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        let line = format!("{message}\n");
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_bytes()).await.unwrap();
    }

    /// The next message. Every line of the output is one.
    pub(crate) async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await.unwrap();
        let line = line.unwrap().expect("the server says something");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    }

    /// Asks for something, and returns the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        assert_eq!(answer.get("error"), None, "{answer}");
        answer["result"].clone()
    }

    /// Leaves, and waits for the server's end. Returns how it ended, and what it said besides the protocol.
    pub(crate) async fn leave(mut self) -> (ExitStatus, String) {
        drop(self.input.take());
        self.ended().await
    }

    /// Tells the server to stop, with standard input still open.
    #[cfg(unix)]
    pub(crate) async fn stop(mut self) -> (ExitStatus, String) {
        let pid = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(kill.unwrap().success());
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> (ExitStatus, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        let mut rest = String::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            rest.push_str(&line);
        }
        assert_eq!(rest, "", "nobody asked for this");
        let mut said = String::new();
        let mut error = self.child.stderr.take().unwrap();
        error.read_to_string(&mut said).await.unwrap();
        (status, said)
    }
}
