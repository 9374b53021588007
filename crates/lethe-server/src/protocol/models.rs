//! `/v1/models` and what says how the server is.

use serde::Serialize;
use utoipa::ToSchema;

/// The models.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`.
    pub(crate) object: &'static str,
    /// Every name of the one model that is served.
    pub(crate) data: Vec<ModelCard>,
}

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelCard {
    /// Its name.
    pub(crate) id: String,
    /// `model`.
    pub(crate) object: &'static str,
    /// When it was loaded, in seconds since 1970.
    pub(crate) created: u64,
    /// `lethe`.
    pub(crate) owned_by: &'static str,
    /// Its first name.
    pub(crate) root: String,
    /// Positions of a sequence.
    pub(crate) max_model_len: u64,
}

/// How the server is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `ok` or `ready`.
    pub(crate) status: &'static str,
}

/// Which server it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Of Lethe.
    pub(crate) version: &'static str,
}
