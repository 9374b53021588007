//! The policies, one file each, and the list of them.

mod auto;
mod full;
mod lethe;
mod random;
mod recency;

pub use auto::Auto;
pub use full::Full;
pub use lethe::Lethe;
pub use random::Random;
pub use recency::Recency;

use crate::policy::PolicyInfo;

/// All policies, the default first.
pub fn registry() -> &'static [PolicyInfo] {
    static REGISTRY: &[PolicyInfo] = &[auto::INFO, lethe::INFO, full::INFO, recency::INFO, random::INFO];
    REGISTRY
}
