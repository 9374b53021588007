//! What happens between the matrices: norms, gates, residuals, lookups, and the guard against numbers that are none.

mod add;
mod embed;
mod finite;
mod rms_norm;
mod swiglu;

/// Elements worth a task of their own; less stays on one thread.
pub(crate) const GRAIN: usize = 16 * 1024;
