//! What all requests share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::ApiError;
use crate::http::auth::Keys;
use crate::http::inflight::{Inflight, Ticket};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::prepare::Context;
use crate::served::Served;

/// A server between its requests.
pub(crate) struct App {
    pub(crate) options: Options,
    pub(crate) keys: Keys,
    pub(crate) metrics: Metrics,
    pub(crate) inflight: Arc<Inflight>,
    served: Arc<OnceLock<Arc<Served>>>,
    draining: AtomicBool,
}

impl App {
    /// A server whose model is yet to come.
    pub(crate) fn new(options: Options) -> Arc<App> {
        let served = Arc::new(OnceLock::new());
        Arc::new(App {
            keys: Keys::new(&options.api_keys),
            metrics: Metrics::new(&options.names[0], &served),
            inflight: Arc::default(),
            served,
            draining: AtomicBool::new(false),
            options,
        })
    }

    /// The model is there.
    pub(crate) fn serve(&self, served: Served) {
        // There is one model in the life of a server.
        let _ = self.served.set(Arc::new(served));
    }

    /// Takes no new requests from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The model.
    ///
    /// # Errors
    /// A 503 while it loads.
    pub(crate) fn served(&self) -> Result<&Arc<Served>, ApiError> {
        let loading = || ApiError::unavailable("loading", "the model is loading: try again soon");
        self.served.get().ok_or_else(loading)
    }

    /// The description of the API, exact about ids once the model is there.
    pub(crate) fn openapi(&self) -> String {
        let vocab = self.served.get().map(|served| served.model.decoder.dims.vocab);
        super::openapi::document(&self.options.names, vocab).to_string()
    }

    /// Whether new requests are answered.
    ///
    /// # Errors
    /// A 503 that says why not.
    pub(crate) fn ready(&self) -> Result<&Arc<Served>, ApiError> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(ApiError::unavailable("draining", "the server is shutting down: ask another one"));
        }
        self.served()
    }

    /// The model, and a ticket for a request that the server must not shut down under.
    ///
    /// # Errors
    /// As [`App::ready`].
    pub(crate) fn admit(&self) -> Result<(Arc<Served>, Ticket), ApiError> {
        let ticket = self.inflight.ticket();
        Ok((Arc::clone(self.ready()?), ticket))
    }

    /// Runs work that may take long where it blocks nobody.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<App>,
        served: &Arc<Served>,
        work: impl FnOnce(Context<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (app, served) = (Arc::clone(self), Arc::clone(served));
        let work = move || work(Context { options: &app.options, served: &served });
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(e) => {
                tracing::error!("a request could not be prepared: {e}");
                Err(ApiError::internal("the request could not be prepared: this is a defect of the server"))
            }
        }
    }
}
