//! Requests that say one length and have another, are too long, or are cut in two in the wrong place.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{BOUND, MIB, Target};
use crate::support::frames::{Frames, TEXT};
use crate::support::run;

const POST: &str = "POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
const BODY: &str = r#"{"query":"{ __typename }"}"#;
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";

/// What 100 MB that are not wanted may cost, in bytes.
const MEMORY: u64 = 4 * MIB;

/// What the server says to bytes, until it is silent for a moment or closes; and whether it closed.
async fn says(target: &Target, bytes: &[u8]) -> (String, bool) {
    let mut stream = TcpStream::connect(target.binary.address).await.unwrap();
    stream.write_all(bytes).await.ok();
    let mut said = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let patience = if said.is_empty() {
            BOUND
        } else {
            Duration::from_millis(300)
        };
        match timeout(patience, stream.read(&mut piece)).await {
            Ok(Ok(count)) if count > 0 => said.extend_from_slice(&piece[..count]),
            Ok(_) => return (String::from_utf8(said).unwrap(), true),
            Err(_) => return (String::from_utf8(said).unwrap(), false),
        }
    }
}

/// The statuses of all answers in what was said.
fn statuses(said: &str) -> Vec<u16> {
    let answers = said.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].parse().unwrap()).collect()
}

/// Sends 100 MB in pieces while the server takes them, and says what it answered.
async fn pours(target: &Target, head: &str, piece: &[u8]) -> String {
    let stream = TcpStream::connect(target.binary.address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let pour = async {
        writing.write_all(head.as_bytes()).await.unwrap();
        let mut sent = 0;
        while sent < 100_000_000 && writing.write_all(piece).await.is_ok() {
            sent += piece.len();
        }
    };
    let hear = async {
        let mut said = Vec::new();
        reading.read_to_end(&mut said).await.ok();
        String::from_utf8(said).unwrap()
    };
    let (_, said) = timeout(4 * BOUND, async { tokio::join!(pour, hear) })
        .await
        .expect("it is over soon");
    said
}

/// A body that is too large costs its sender, not the server.
#[test]
fn a_hundred_megabytes_are_not_kept() {
    run(async {
        let mut target = Target::start(&[]).await;
        let announced = format!("{POST}content-length: 100000000\r\n\r\n");
        let chunked = format!("{POST}transfer-encoding: chunked\r\n\r\n");
        let other = format!(
            "{}content-length: 100000000\r\n\r\n",
            POST.replace("json", "xml")
        );
        let packed = format!("{POST}content-encoding: gzip\r\ncontent-length: 100000000\r\n\r\n");
        let spaces = vec![b' '; 64 * 1024];
        let chunk = [b"10000\r\n", spaces.as_slice(), b"\r\n"].concat();
        let small = format!("40\r\n{}\r\n", " ".repeat(64))
            .repeat(1024)
            .into_bytes();
        for (name, head, piece, status) in [
            ("announced", &announced, &spaces, 413),
            ("in chunks", &chunked, &chunk, 413),
            ("in small chunks", &chunked, &small, 413),
            ("of another type", &other, &spaces, 415),
            ("compressed", &packed, &spaces, 415),
        ] {
            let (said, growth) = target.binary.growth(pours(&target, head, piece)).await;
            assert_eq!(statuses(&said), [status], "{name}: {said}");
            assert!(growth <= MEMORY, "{name}: {growth} bytes");
            target.is_well().await;
        }
        target.binary.is_sound();
    });
}

#[test]
fn a_hundred_megabytes_on_a_socket_are_not_kept() {
    run(async {
        let mut target = Target::start(&[]).await;
        let at_once = async {
            let mut frames = Frames::open(&target.mallory).await;
            // 100 MB, then as much as there is room for.
            let mut head = vec![0x81, 0xff];
            head.extend(100_000_000_u64.to_be_bytes());
            head.extend([0; 4]);
            frames.raw(&head).await;
            for _ in 0..100 {
                frames.raw(&[b' '; 64 * 1024]).await;
            }
            frames.rest().await.1
        };
        let (code, growth) = target.binary.growth(at_once).await;
        assert_eq!(code, Some(1009));
        assert!(growth <= MEMORY, "at once: {growth} bytes");
        let in_pieces = async {
            let mut frames = Frames::open(&target.mallory).await;
            frames.send(false, TEXT, &[b' '; 60_000]).await;
            for _ in 0..1_700 {
                frames.send(false, 0, &[b' '; 60_000]).await;
            }
            frames.rest().await.1
        };
        let (code, growth) = target.binary.growth(in_pieces).await;
        assert_eq!(code, Some(1009));
        assert!(growth <= MEMORY, "in pieces: {growth} bytes");
        for length in [u64::MAX, 1 << 63, i64::MAX as u64] {
            let mut frames = Frames::open(&target.mallory).await;
            frames
                .raw(&[&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat())
                .await;
            let code = frames.rest().await.1;
            assert!(matches!(code, Some(1002 | 1009)), "{length}: {code:?}");
        }
        target.is_well().await;
        target.binary.is_sound();
    });
}

/// Where two servers in a row read a request in two ways, one of them takes a part of it for another request
/// (RFC 9112, section 11.2).
#[test]
fn a_request_has_one_length() {
    run(async {
        let mut target = Target::start(&[]).await;
        let length = BODY.len();
        let chunked = format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n");
        for (name, head, status) in [
            (
                "two lengths",
                format!("content-length: {length}\r\ncontent-length: 3\r\n"),
                400,
            ),
            (
                "a list of lengths",
                format!("content-length: {length}, 3\r\n"),
                400,
            ),
            (
                "a length with a sign",
                format!("content-length: +{length}\r\n"),
                400,
            ),
            (
                "a negative length",
                "content-length: -1\r\n".to_owned(),
                400,
            ),
            (
                "a length in hexadecimal",
                "content-length: 0x1a\r\n".to_owned(),
                400,
            ),
            (
                "a length beyond all",
                "content-length: 99999999999999999999\r\n".to_owned(),
                400,
            ),
            (
                "a space before the colon",
                format!("content-length : {length}\r\n"),
                400,
            ),
            (
                "a folded line",
                format!("x-a: b\r\n content-length: 3\r\ncontent-length: {length}\r\n"),
                400,
            ),
            (
                "an unknown coding",
                "transfer-encoding: xchunked\r\n".to_owned(),
                400,
            ),
            (
                "chunks within",
                "transfer-encoding: chunked, identity\r\n".to_owned(),
                400,
            ),
            (
                "chunks with a vertical tab",
                "transfer-encoding: \u{b}chunked\r\n".to_owned(),
                400,
            ),
            ("a name with NUL", "x\0: a\r\n".to_owned(), 400),
            ("a value with NUL", "x: a\0b\r\n".to_owned(), 400),
            ("a value with a return", "x: a\rb\r\n".to_owned(), 400),
        ] {
            let (said, closed) = says(
                &target,
                format!("{POST}{head}\r\n{BODY}{HEALTH}").as_bytes(),
            )
            .await;
            assert_eq!(
                (statuses(&said), closed),
                (vec![status], true),
                "{name}: {said}"
            );
        }
        let old = POST.replace("1.1", "1.0");
        let (said, closed) = says(
            &target,
            format!("{old}transfer-encoding: chunked\r\n\r\n{chunked}{HEALTH}").as_bytes(),
        )
        .await;
        assert_eq!((said.contains(" 400 "), closed), (true, true), "{said}");
        // Both, in both orders: read by its chunks, and nothing is read behind it.
        for head in [
            format!(
                "content-length: {}\r\ntransfer-encoding: chunked\r\n",
                chunked.len() + HEALTH.len()
            ),
            format!(
                "transfer-encoding: chunked\r\ncontent-length: {}\r\n",
                chunked.len() + HEALTH.len()
            ),
            format!(
                "content-length: 3\r\ntransfer-encoding: chunked\r\ncontent-length: {length}\r\n"
            ),
        ] {
            let (said, closed) = says(
                &target,
                format!("{POST}{head}\r\n{chunked}{HEALTH}").as_bytes(),
            )
            .await;
            let statuses = statuses(&said);
            assert!(matches!(statuses[..], [200 | 400]), "{head}: {said}");
            assert!(closed, "{head}: it stays open");
        }
        target.is_well().await;
        target.binary.is_sound();
    });
}

#[test]
fn chunks_are_well_formed() {
    run(async {
        let mut target = Target::start(&[]).await;
        let head = format!("{POST}transfer-encoding: chunked\r\n\r\n");
        let extension = format!("1;{}\r\n \r\n", "a".repeat(100_000));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(10_000));
        for (name, body) in [
            ("a size beyond all", "FFFFFFFFFFFFFFFFFF\r\n"),
            ("a size that is none", "xyz\r\n"),
            ("a negative size", "-1\r\n"),
            (
                "a chunk that is longer than it says",
                "1\r\nabc\r\n0\r\n\r\n",
            ),
            ("a long extension", &extension),
            ("many trailers", &trailers),
        ] {
            let (said, _) = says(&target, format!("{head}{body}{HEALTH}").as_bytes()).await;
            let first = statuses(&said);
            assert!(matches!(first[..], [400 | 413, ..]), "{name}: {said}");
            assert!(
                !first.contains(&200),
                "{name}: something behind it is read: {said}"
            );
        }
        target.is_well().await;
        target.binary.is_sound();
    });
}

#[test]
fn heads_have_bounds() {
    run(async {
        let mut target = Target::start(&[]).await;
        let get = |path: &str, headers: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")
        };
        let many: String = (0..200).map(|n| format!("x-{n}: a\r\n")).collect();
        let same = "x: a\r\n".repeat(10_000);
        let large = format!("x: {}\r\n", "a".repeat(20_000));
        let huge = format!("x: {}\r\n", "a".repeat(1_000_000));
        let name = format!("{}: a\r\n", "a".repeat(70_000));
        let query = format!("/graphql?query={}", "a".repeat(20_000));
        let long = format!("/graphql?query={}", "a".repeat(1_000_000));
        let mut wrong = Vec::new();
        for (what, request, status) in [
            ("200 headers", get("/healthz", &many), 431),
            ("10 000 headers", get("/healthz", &same), 431),
            ("a large header", get("/healthz", &large), 431),
            ("a huge header", get("/healthz", &huge), 431),
            ("a long name", get("/healthz", &name), 431),
            ("a long address", get(&query, ""), 414),
            // There is no room for a whole line to be judged.
            ("a huge address", get(&long, ""), 431),
            ("a line that never ends", "a".repeat(1_000_000), 431),
        ] {
            let (said, growth) = target
                .binary
                .growth(says(&target, request.as_bytes()))
                .await;
            let first = statuses(&said.0).first().copied();
            if first != Some(status) || growth > MEMORY {
                let (said, _) = said;
                wrong.push(format!("{what}: {growth} bytes, {said}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        target.is_well().await;
        target.binary.is_sound();
    });
}

/// Requests in a row are answered in their order, and none behind one that cannot be read.
#[test]
fn requests_may_come_in_a_row() {
    run(async {
        let mut target = Target::start(&[]).await;
        let ask = |word: &str| {
            let body = format!(r#"{{"query":"{{ {word}: __typename }}"}}"#);
            format!("{POST}content-length: {}\r\n\r\n{body}", body.len())
        };
        let row: String = (0..30).map(|n| ask(&format!("a{n}"))).collect();
        let (said, _) = says(&target, row.as_bytes()).await;
        assert_eq!(statuses(&said), [200; 30], "{said}");
        let place = |n: usize| said.find(&format!("\"a{n}\"")).unwrap();
        assert!((1..30).all(|n| place(n - 1) < place(n)), "{said}");
        let broken = format!("{}{}NONSENSE\r\n\r\n{}", ask("a"), ask("b"), ask("c"));
        let (said, closed) = says(&target, broken.as_bytes()).await;
        assert_eq!(
            (statuses(&said), closed),
            (vec![200, 200, 400], true),
            "{said}"
        );
        target.binary.is_sound();
    });
}

/// Whoever asks and never reads is not written for.
#[test]
fn a_row_whose_answers_nobody_reads_is_not_kept() {
    run(async {
        let mut target = Target::start(&[]).await;
        let (head, body) = ("host: test\r\naccept-encoding: identity\r\n", "");
        let page = format!("GET / HTTP/1.1\r\n{head}\r\n{body}");
        let pour = async {
            let mut stream = TcpStream::connect(target.binary.address).await.unwrap();
            let many = page.repeat(1000);
            let pouring = async {
                for _ in 0..100 {
                    if stream.write_all(many.as_bytes()).await.is_err() {
                        return;
                    }
                }
            };
            timeout(Duration::from_secs(2), pouring).await.is_err()
        };
        let (held_back, growth) = target.binary.growth(pour).await;
        assert!(held_back, "all of it is taken");
        assert!(growth <= MEMORY, "{growth} bytes");
        target.is_well().await;
        target.binary.is_sound();
    });
}
