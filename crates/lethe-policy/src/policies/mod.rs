//! The policies, one file each, and the list of them.

mod auto;
mod full;
mod gkv;
mod h2o;
mod lethe;
mod lethe_plus;
mod pyramidkv;
mod random;
mod recency;
mod rkv;
mod snapkv;
mod tova;

pub use auto::Auto;
pub use full::Full;
pub use gkv::Gkv;
pub use h2o::H2o;
pub use lethe::Lethe;
pub use lethe_plus::LethePlus;
pub use pyramidkv::{PyramidKv, pyramid};
pub use random::Random;
pub use recency::Recency;
pub use rkv::Rkv;
pub use snapkv::SnapKv;
pub use tova::Tova;

use crate::policy::PolicyInfo;

/// The policies of this crate, the default first.
pub(crate) static BUILT_IN: &[PolicyInfo] = &[
    auto::INFO,
    lethe::INFO,
    lethe_plus::INFO,
    full::INFO,
    recency::INFO,
    random::INFO,
    h2o::INFO,
    tova::INFO,
    snapkv::INFO,
    pyramidkv::INFO,
    gkv::INFO,
    rkv::INFO,
];
