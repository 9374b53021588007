//! The policies there are, by name.

use std::sync::{PoisonError, RwLock};

use crate::error::PolicyError;
use crate::policies::BUILT_IN;
use crate::policy::PolicyInfo;

/// Policies of other crates, in the order in which they came.
static OTHERS: RwLock<Vec<&'static PolicyInfo>> = RwLock::new(Vec::new());

/// All policies, the default first, those of other crates last.
pub fn registry() -> Vec<&'static PolicyInfo> {
    let others = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    BUILT_IN.iter().chain(others.iter().copied()).collect()
}

/// Adds a policy of another crate, so that it can be named like any other in this process.
///
/// # Errors
/// [`PolicyError::NameTaken`] where there is one of that name; [`PolicyError::BadName`] for a name that cannot be written in
/// `name:key=value`.
pub fn register(info: &'static PolicyInfo) -> Result<(), PolicyError> {
    let name = info.name;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '=')) {
        return Err(PolicyError::BadName { name });
    }
    let mut others = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    if BUILT_IN.iter().chain(others.iter().copied()).any(|known| known.name == name) {
        return Err(PolicyError::NameTaken { name });
    }
    others.push(info);
    Ok(())
}
