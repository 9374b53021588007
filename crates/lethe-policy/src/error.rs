//! What can be wrong with a policy's name, options or budget.

use crate::nearest::meant;

/// Why a policy cannot be named, built or run as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// No policy of that name.
    #[error("unknown policy `{name}`{}; known policies: {}", meant(.nearest), .known.join(", "))]
    UnknownPolicy {
        /// The name given.
        name: String,
        /// The known name that resembles it, if any.
        nearest: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },

    /// The policy has no such option.
    #[error("policy `{policy}` has no option `{key}`{}; {}", meant(.nearest), keys(.known))]
    UnknownOption {
        /// The policy.
        policy: &'static str,
        /// The key given.
        key: String,
        /// The known key that resembles it, if any.
        nearest: Option<&'static str>,
        /// All keys of the policy.
        known: Vec<&'static str>,
    },

    /// A policy to be registered under a name that there is.
    #[error("there is a policy `{name}` already: register yours under another name")]
    NameTaken {
        /// The name.
        name: &'static str,
    },

    /// A policy to be registered under a name that cannot be written in `name:key=value`.
    #[error("`{name}` cannot be the name of a policy: take one word without `:`, `,` and `=`")]
    BadName {
        /// The name.
        name: &'static str,
    },

    /// Not of the form `name:key=value,...`.
    #[error("cannot read `{part}` in policy `{text}`; write name:key=value,key=value")]
    Syntax {
        /// The whole text.
        text: String,
        /// The part that is not `key=value`.
        part: String,
    },

    /// An option given more than once.
    #[error("policy `{policy}` is given option `{key}` twice; give it once")]
    Duplicate {
        /// The policy.
        policy: &'static str,
        /// The repeated key.
        key: &'static str,
    },

    /// A value that the option does not take.
    #[error("policy `{policy}`: `{value}` is no value for `{key}`, which takes {expected}")]
    BadValue {
        /// The policy.
        policy: &'static str,
        /// The option.
        key: &'static str,
        /// The value given.
        value: String,
        /// What the option takes.
        expected: String,
    },

    /// Two options that contradict each other.
    #[error("policy `{policy}`: `{first}` and `{second}` cannot be combined; {reason}")]
    Conflict {
        /// The policy.
        policy: &'static str,
        /// One option, as given.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Why not.
        reason: &'static str,
    },

    /// An option that the policy, or another option, cannot do without.
    #[error("policy `{policy}`: {what} needs {needs}")]
    Missing {
        /// The policy.
        policy: &'static str,
        /// What asks for it: the policy or one of its options.
        what: &'static str,
        /// The keys, one of which must be given.
        needs: &'static str,
    },

    /// A budget below what a request forces the policy to keep.
    #[error("policy `{policy}`: {key} {have} is below the {need} slots that this request must keep; {remedy}")]
    InvalidBudget {
        /// The policy.
        policy: &'static str,
        /// Which kind of budget: `cap`, `budget` or `total`; `have` and `need` count alike.
        key: &'static str,
        /// The slots given.
        have: usize,
        /// The least that would do.
        need: usize,
        /// What to do about it.
        remedy: &'static str,
    },

    /// `auto` found too little memory for a cache worth having.
    #[error(
        "policy `{policy}`: {slots_per_layer} slots per layer shared by {max_num_seqs} sequences leave a cap of {cap}, \
         below the {need} slots of sinks and recents; give the cache more memory or admit fewer sequences at once"
    )]
    ShareTooSmall {
        /// The policy.
        policy: &'static str,
        /// Slots per layer that the pool holds.
        slots_per_layer: usize,
        /// Sequences that share them.
        max_num_seqs: usize,
        /// The cap that would result.
        cap: usize,
        /// The least cap that would do.
        need: usize,
    },
}

/// The remedy for a budget that the user chose.
pub(crate) const RAISE_IT: &str = "raise it, or protect less of the prompt (protect_prompt=newest or none)";

fn keys(known: &[&'static str]) -> String {
    if known.is_empty() { "it takes none".to_owned() } else { format!("its options: {}", known.join(", ")) }
}
