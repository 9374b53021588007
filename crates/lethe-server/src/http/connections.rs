//! Connections: accepted, limited, closed in order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Most connections at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;
/// Longest time in which the headers of a request must have come.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of the headers of a request, and most headers.
const HEADER_BYTES: usize = 64 << 10;
const MOST_HEADERS: usize = 100;
/// After an error of the system, such as too many open files, so long until the next try.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest time for idle and finishing connections to go once the server is done.
const GOODBYE: Duration = Duration::from_secs(5);

/// Accepts connections until `closing` says so, then lets those that are busy finish.
pub(crate) async fn accept(listener: TcpListener, router: Router, mut closing: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = closed(&mut closing) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, closing) = (router.clone(), closing.clone());
                open.spawn(async move {
                    serve(stream, router, closing).await;
                    drop(place);
                });
            }
            Err(e) if broken_client(&e) => {}
            Err(e) => {
                tracing::error!("cannot accept a connection: {e}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, all).await.is_err() {
        tracing::warn!("some connections were cut off");
    }
}

/// Waits until the server closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await.map(drop);
}

fn broken_client(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

async fn serve(stream: TcpStream, router: Router, mut closing: watch::Receiver<bool>) {
    // Tokens are small and must not wait for each other.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    builder.max_buf_size(HEADER_BYTES).max_headers(MOST_HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // Errors here are clients that went away or spoke no HTTP; those were answered by hyper.
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = done {
        tracing::debug!("a connection ended: {e}");
    }
}
