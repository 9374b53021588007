//! A policy as text.

use std::fmt;
use std::str::FromStr;

use crate::error::PolicyError;
use crate::nearest::nearest;
use crate::option::Options;
use crate::policy::{Context, Policy, PolicyInfo};
use crate::registry::registry;

/// A policy by name with the options given for it: `lethe:cap=512,half_life=64`.
///
/// Every name, key and value in it is known and in range. Whether the options agree with each other is found out by
/// [`PolicySpec::build`]. `Display` and `parse` round-trip.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicySpec {
    name: &'static str,
    options: Vec<(&'static str, String)>, // in the order given
}

impl PolicySpec {
    /// A policy with its default options.
    ///
    /// # Errors
    /// [`PolicyError::UnknownPolicy`].
    pub fn new(name: &str) -> Result<Self, PolicyError> {
        Ok(PolicySpec { name: info(name)?.name, options: Vec::new() })
    }

    /// Reads `name` or `name:key=value,key=value`; blanks around names, keys and values do not count.
    ///
    /// # Errors
    /// [`PolicyError::UnknownPolicy`], [`PolicyError::Syntax`], [`PolicyError::UnknownOption`],
    /// [`PolicyError::BadValue`], [`PolicyError::Duplicate`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let (name, options) = match text.split_once(':') {
            Some((name, options)) => (name, Some(options)),
            None => (text, None),
        };
        let mut spec = PolicySpec::new(name.trim())?;
        for part in options.into_iter().flat_map(|options| options.split(',')) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| PolicyError::Syntax { text: text.to_owned(), part: part.trim().to_owned() })?;
            let given = spec.options.len();
            spec = spec.set(key.trim(), value.trim())?;
            if spec.options.len() == given {
                let key = spec.options.iter().map(|(known, _)| *known).find(|known| *known == key.trim());
                return Err(PolicyError::Duplicate { policy: spec.name, key: key.unwrap_or_default() });
            }
        }
        Ok(spec)
    }

    /// The same policy with one option set, in place of an earlier value of it.
    ///
    /// # Errors
    /// [`PolicyError::UnknownOption`], [`PolicyError::BadValue`].
    pub fn set(mut self, key: &str, value: impl ToString) -> Result<Self, PolicyError> {
        let info = info(self.name)?;
        let option =
            info.options.iter().find(|option| option.key == key).ok_or_else(|| PolicyError::UnknownOption {
                policy: info.name,
                key: key.to_owned(),
                nearest: nearest(key, info.options.iter().map(|option| option.key)),
                known: info.options.iter().map(|option| option.key).collect(),
            })?;
        let value = value.to_string();
        if !option.kind.accepts(&value) {
            let expected = option.kind.to_string();
            return Err(PolicyError::BadValue { policy: info.name, key: option.key, value, expected });
        }
        match self.options.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.options.push((option.key, value)),
        }
        Ok(self)
    }

    /// The name of the policy.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value given for `key`, if any.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    /// The policy itself, for the model and memory that `context` describes.
    ///
    /// # Errors
    /// [`PolicyError::Conflict`] and [`PolicyError::Missing`] where options do not agree;
    /// [`PolicyError::ShareTooSmall`] where `auto` has too little memory.
    pub fn build(&self, context: &Context) -> Result<Box<dyn Policy>, PolicyError> {
        let info = info(self.name)?;
        (info.build)(&Options::new(info, self), context)
    }
}

/// The default policy, first in the registry.
impl Default for PolicySpec {
    fn default() -> Self {
        PolicySpec { name: registry()[0].name, options: Vec::new() }
    }
}

impl fmt::Display for PolicySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (i, (key, value)) in self.options.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl FromStr for PolicySpec {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        PolicySpec::parse(text)
    }
}

fn info(name: &str) -> Result<&'static PolicyInfo, PolicyError> {
    registry().into_iter().find(|info| info.name == name).ok_or_else(|| PolicyError::UnknownPolicy {
        name: name.to_owned(),
        nearest: nearest(name, registry().iter().map(|info| info.name)),
        known: registry().iter().map(|info| info.name).collect(),
    })
}
