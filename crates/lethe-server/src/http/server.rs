//! A server's life: it listens at once, loads, answers, drains, ends.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot, watch};

use crate::http::app::App;
use crate::http::connections;
use crate::http::router::router;
use crate::options::Options;
use crate::served::Served;

/// Threads for work that must not hold up the one that speaks HTTP: templates, tokens, grammars.
const WORKERS: usize = 4;

/// A server that is about to run.
pub struct Server {
    app: Arc<App>,
    stopper: Stopper,
}

/// Ends a server from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    drain: Notify,
    stop: Notify,
}

impl Stopper {
    /// New requests are refused, those under way are answered, then the server ends.
    pub fn drain(&self) {
        self.0.drain.notify_one();
    }

    /// The server ends now.
    pub fn stop(&self) {
        self.0.stop.notify_one();
    }
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system gave no sockets or timers.
    #[error("the server cannot run: {0}")]
    Io(#[from] std::io::Error),
    /// The model did not load.
    #[error("{0}")]
    Load(String),
}

impl Server {
    /// A server with these settings; `options.names` is not empty.
    pub fn new(options: Options) -> Server {
        Server { app: App::new(options), stopper: Stopper::default() }
    }

    /// Ends it while [`Server::run`] runs.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Answers on `listener` until it is told to end. `load` brings the model, on a thread of its own: `/health` answers
    /// meanwhile. SIGTERM and ctrl-c drain, a second one stops, where `signals` are heeded.
    ///
    /// # Errors
    /// [`ServeError`]: no runtime, or no model.
    pub fn run(
        self,
        listener: TcpListener,
        signals: bool,
        load: impl FnOnce() -> Result<Served, String> + Send + 'static,
    ) -> Result<(), ServeError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WORKERS).build()?;
        let (loaded, model) = oneshot::channel();
        // Not joined: a server that is stopped while it loads does not wait.
        std::thread::Builder::new().name("lethe-load".into()).spawn(move || {
            // Nobody waits for it any more where the server was stopped.
            let _ = loaded.send(load());
        })?;
        let ended = runtime.block_on(self.live(listener, signals, model));
        runtime.shutdown_background();
        ended
    }

    async fn live(
        self,
        listener: TcpListener,
        signals: bool,
        model: oneshot::Receiver<Result<Served, String>>,
    ) -> Result<(), ServeError> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        if signals {
            tokio::spawn(heed(self.stopper.clone(), Signal::new()?));
        }
        let (close, closing) = watch::channel(false);
        let accepting = tokio::spawn(connections::accept(listener, router(&self.app), closing));
        let Stopper(asked) = &self.stopper;
        let served = tokio::select! {
            served = model => served.unwrap_or_else(|_| Err("the thread that loads the model broke down".into())),
            () = asked.drain.notified() => return Ok(()),
            () = asked.stop.notified() => return Ok(()),
        };
        self.app.serve(served.map_err(ServeError::Load)?);
        tracing::info!(model = self.app.options.names[0], "ready");
        tokio::select! {
            () = asked.drain.notified() => {}
            () = asked.stop.notified() => return Ok(()),
        }
        self.app.drain();
        tracing::info!(requests = self.app.inflight.count(), "draining; a second signal stops at once");
        tokio::select! {
            () = self.app.inflight.none() => {}
            () = asked.stop.notified() => return Ok(()),
        }
        close.send_replace(true);
        tokio::select! {
            _ = accepting => {}
            () = asked.stop.notified() => {}
        }
        Ok(())
    }
}

/// Makes signals what they mean to a server.
async fn heed(stopper: Stopper, mut signal: Signal) {
    signal.next().await;
    stopper.drain();
    signal.next().await;
    stopper.stop();
}

/// The signals that end a program.
struct Signal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signal {
    fn new() -> std::io::Result<Signal> {
        Ok(Signal {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
