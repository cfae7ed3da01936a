//! Many who are slow on purpose.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{BOUND, MIB, Target};
use crate::support::socket::PATIENCE;
use crate::support::{at_once, run};

/// How many they are.
const MANY: usize = 200;

/// What each of them may cost, in bytes.
const EACH: u64 = 96 * 1024;

/// Says something byte by byte, and hears until the end: what was said, and how long it took.
async fn drips(
    address: std::net::SocketAddr,
    begin: String,
    drop: &'static str,
) -> (String, Duration) {
    let began = Instant::now();
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dripping = async {
        writing.write_all(begin.as_bytes()).await.ok();
        while writing.write_all(drop.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    let hearing = async {
        let mut piece = [0; 4096];
        while let Ok(count) = reading.read(&mut piece).await
            && count > 0
        {
            said.extend_from_slice(&piece[..count]);
            if said.starts_with(b"HTTP/1.1 ") {
                // What it will hear it has heard.
                break;
            }
        }
    };
    tokio::select! {
        () = dripping => {}
        heard = timeout(PATIENCE, hearing) => heard.expect("it is not waited for"),
    }
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

#[test]
fn who_drips_is_cut_off_and_keeps_nobody_waiting() {
    run(async {
        let arguments = ["--head-timeout", "1500ms", "--body-timeout", "1500ms"];
        let mut target = Target::start(&arguments).await;
        let address = target.binary.address;
        let post = "POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
        for (name, begin, drop, answer) in [
            ("a line", "GET /".to_owned(), "a", ""),
            (
                "headers",
                "GET / HTTP/1.1\r\nhost: test\r\n".to_owned(),
                "x: a\r\n",
                "",
            ),
            (
                "a body",
                format!("{post}content-length: 100000\r\n\r\n"),
                " ",
                "HTTP/1.1 408",
            ),
            (
                "chunks",
                format!("{post}transfer-encoding: chunked\r\n\r\n"),
                "1\r\n \r\n",
                "HTTP/1.1 408",
            ),
            ("nothing", String::new(), "", ""),
            ("half a preface", "PR".to_owned(), "", ""),
            ("a preface", "PRI * HTTP/2.0\r\n\r\nSM".to_owned(), "", ""),
        ] {
            let attack = async {
                let all = (0..MANY).map(|_| drips(address, begin.clone(), drop));
                let all = tokio::task::spawn(at_once(all.collect::<Vec<_>>()));
                sleep(Duration::from_millis(500)).await;
                let began = Instant::now();
                target.is_well().await;
                assert!(began.elapsed() < BOUND, "{name}: others wait");
                all.await.unwrap()
            };
            let (all, growth) = target.binary.growth(attack).await;
            for (said, took) in all {
                assert!(said.starts_with(answer), "{name}: {said}");
                assert!(!said.is_empty() || answer.is_empty(), "{name}: nothing");
                let bounds = Duration::from_millis(1200)..Duration::from_secs(10);
                assert!(bounds.contains(&took), "{name}: {took:?}");
            }
            let most = EACH * u64::try_from(MANY).unwrap() + MIB;
            assert!(growth <= most, "{name}: {growth} bytes");
        }
        target.binary.is_sound();
    });
}
