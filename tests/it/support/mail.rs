//! A server that mail is really sent to: the state machine of `mailin` on a socket, with or without TLS.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailin::response::{AUTH_OK, INVALID_CREDENTIALS, NO_MAILBOX, OK};
use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::certificate::Certificate;

/// Who may send.
pub(crate) const LOGIN: (&str, &str) = ("colloquy", "s3cret of the relay");

/// A mail as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

impl Mail {
    /// A header, unfolded; what is encoded in it stays so.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        let mut lines = head
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter();
        lines.find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }
}

/// What the server knows of one session.
struct Session {
    mails: Arc<Mutex<Vec<Mail>>>,
    busy: Arc<Mutex<usize>>,
    mail: Mail,
}

/// The line that ends a mail.
const END: &[u8] = b".\r\n";

impl Handler for Session {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.mail = Mail {
            from: from.to_owned(),
            ..Mail::default()
        };
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if to.starts_with("nobody@") {
            return NO_MAILBOX;
        }
        let mut busy = self.busy.lock().unwrap();
        if *busy > 0 {
            *busy -= 1;
            return Response::custom(450, "Try again later".to_owned());
        }
        self.mail.to.push(to.to_owned());
        OK
    }

    fn data(&mut self, buf: &[u8]) -> io::Result<()> {
        self.mail.text.push_str(std::str::from_utf8(buf).unwrap());
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.mails.lock().unwrap().push(self.mail.clone());
        OK
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        if (user, password) != LOGIN {
            return INVALID_CREDENTIALS;
        }
        AUTH_OK
    }
}

/// How the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Plainly,
    TlsAtOnce,
    StartTls,
}

/// A server, until it is dropped.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    busy: Arc<Mutex<usize>>,
    slow: Arc<Mutex<Option<Duration>>>,
    _serve: AbortOnDropHandle<()>,
}

impl MailServer {
    /// With TLS, who sends has to log in.
    pub(crate) async fn start(speaks: Speaks, certificate: &Certificate) -> Self {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mails, busy) = (
            Arc::<Mutex<Vec<Mail>>>::default(),
            Arc::<Mutex<usize>>::default(),
        );
        let acceptor = certificate.acceptor();
        let slow = Arc::<Mutex<Option<Duration>>>::default();
        let (heard, waits) = (Arc::clone(&mails), Arc::clone(&busy));
        let slowly = Arc::clone(&slow);
        let serve = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let session = Session {
                    mails: Arc::clone(&heard),
                    busy: Arc::clone(&waits),
                    mail: Mail::default(),
                };
                let acceptor = acceptor.clone();
                let late = *slowly.lock().unwrap();
                tokio::task::spawn(async move {
                    match speaks {
                        Speaks::TlsAtOnce => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                talk(stream, session, (speaks, late), None).await;
                            }
                        }
                        Speaks::Plainly => talk(stream, session, (speaks, late), None).await,
                        Speaks::StartTls => {
                            talk(stream, session, (speaks, late), Some(acceptor)).await;
                        }
                    }
                });
            }
        };
        Self {
            port,
            mails,
            busy,
            slow,
            _serve: AbortOnDropHandle::new(tokio::task::spawn(serve)),
        }
    }

    /// Refuses so many recipients for now.
    pub(crate) fn is_busy_for(&self, times: usize) {
        *self.busy.lock().unwrap() = times;
    }

    /// From now on it takes so long to answer to a mail, and does not answer to the farewell at all.
    pub(crate) fn is_slow(&self, late: Duration) {
        *self.slow.lock().unwrap() = Some(late);
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits until so many have come.
    pub(crate) async fn until(&self, count: usize) -> Vec<Mail> {
        for _ in 0..3000 {
            if self.mails().len() >= count {
                return self.mails();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.mails());
    }
}

/// Speaks SMTP. With an acceptor, the first thing that is taken is STARTTLS.
async fn talk<S>(
    stream: S,
    handler: Session,
    (speaks, late): (Speaks, Option<Duration>),
    upgrade: Option<TlsAcceptor>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stream = BufReader::new(stream);
    let mut builder = SessionBuilder::new("mail.test");
    if speaks != Speaks::Plainly {
        builder.enable_auth(AuthMechanism::Plain);
    }
    if speaks == Speaks::StartTls {
        builder.enable_start_tls();
    }
    let address = [127, 0, 0, 1].into();
    if let Some(acceptor) = upgrade {
        // Nothing that needs a handler is said before the upgrade, and nothing of it is kept behind it (RFC 3207).
        struct Nothing;
        impl Handler for Nothing {}
        let mut session = builder.build(address, Nothing);
        stream
            .write_all(&session.greeting().buffer().unwrap())
            .await
            .unwrap();
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
            let response = session.process(&line);
            stream.write_all(&response.buffer().unwrap()).await.unwrap();
            line.clear();
            if response.action == Action::UpgradeTls {
                if let Ok(secure) = acceptor.accept(stream.into_inner()).await {
                    let mut session = builder.build(address, handler);
                    session.tls_active();
                    go_on(BufReader::new(secure), session, late).await;
                }
                return;
            }
        }
        return;
    }
    let mut session = builder.build(address, handler);
    if speaks == Speaks::TlsAtOnce {
        session.tls_active();
    }
    stream
        .write_all(&session.greeting().buffer().unwrap())
        .await
        .unwrap();
    go_on(stream, session, late).await;
}

async fn go_on<S, H: Handler>(
    mut stream: BufReader<S>,
    mut session: mailin::Session<H>,
    late: Option<Duration>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
        let response = session.process(&line);
        let is_end = line == END;
        line.clear();
        if let Some(late) = late {
            if is_end {
                sleep(late).await;
            }
            if response.action == Action::Close {
                sleep(Duration::from_hours(1)).await;
            }
        }
        if response.action != Action::NoReply {
            let said = response.buffer().unwrap();
            if stream.write_all(&said).await.is_err() {
                return;
            }
            stream.flush().await.ok();
        }
        if response.action == Action::Close {
            return;
        }
    }
}
