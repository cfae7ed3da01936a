//! The proxy does what it is told: a fault that does nothing would prove nothing.

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_millis(300);

/// A server that sends back what it gets, behind a proxy, and a connection through it.
async fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(Upstream::Tcp(listener.local_addr().unwrap())).await;
    tokio::task::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::task::spawn(async move {
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
            });
        }
    });
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    assert_eq!(says(&mut client).await, Some(5));
    (proxy, client)
}

/// How many bytes come back of five; `None` where they do not come soon.
async fn says(client: &mut TcpStream) -> Option<usize> {
    client.write_all(b"hello").await.ok()?;
    let mut bytes = [0; 5];
    timeout(SOON, client.read_exact(&mut bytes))
        .await
        .ok()?
        .ok()
}

#[test]
fn faults_do_what_they_say_and_heal() {
    crate::run(async {
        let (proxy, mut client) = echo().await;
        proxy.behave(|conduct| conduct.blackhole = true);
        assert_eq!(says(&mut client).await, None);
        proxy.heal();
        let mut late = [0; 5];
        timeout(SOON, client.read_exact(&mut late))
            .await
            .unwrap()
            .unwrap();

        proxy.behave(|conduct| conduct.delay = Duration::from_millis(100));
        let began = std::time::Instant::now();
        assert_eq!(says(&mut client).await, Some(5));
        assert!(began.elapsed() >= Duration::from_millis(200));
        proxy.heal();

        proxy.behave(|conduct| conduct.slice = true);
        client.write_all(b"hello").await.unwrap();
        let mut pieces = [0; 5];
        assert_eq!(
            timeout(SOON, client.read(&mut pieces))
                .await
                .unwrap()
                .unwrap(),
            3
        );
        proxy.heal();
        client.read_exact(&mut pieces[3..]).await.unwrap();

        proxy.cut(false);
        assert_eq!(client.read(&mut pieces).await.unwrap(), 0);
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut client).await, Some(5));
        proxy.cut(true);
        let reset = client.read(&mut pieces).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);

        // Later connections end in order.
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut client).await, Some(5));
        client.shutdown().await.unwrap();
        assert_eq!(client.read(&mut pieces).await.unwrap(), 0);

        proxy.behave(|conduct| conduct.down = true);
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut client).await, None);
        proxy.heal();
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut client).await, Some(5));
    });
}
