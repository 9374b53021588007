//! The largest budget of a policy that keeps what was asked, by the policy's own bound.

use lethe_policy::{Ask, Context, PolicyError, PolicySpec};

use super::Protection;

/// A policy with a budget of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// With budget, interval and protection set.
    pub policy: PolicySpec,
    /// Whether it may hold more than asked, because its smallest budget does.
    pub raised: bool,
}

/// Tokens of an answer without end: budgets are fitted as if it were one.
const ENDLESS: usize = 1 << 20;
/// How far above what was asked the smallest budget of a policy is looked for.
const FLOORS: usize = 1 << 13;

/// The policy with the largest budget under which the layers never hold more than `slots` beyond `prompt` on average, by
/// the policy's own bound: the interval is in it, and so are recents that a policy keeps on top of its budget. The mean over
/// layers counts because some policies give their layers different shares of one budget. Where no budget is small enough,
/// the smallest there is.
///
/// The interval is `max(8, budget / 8)` unless the policy names one. With protection the budget counts slots beyond the
/// pinned prompts, without it all slots, for as many in sum. A policy with an `allocation` gets its budget as a total if it takes one.
///
/// # Errors
/// [`PolicyError`] where the policy has a budget already or takes none, or its options do not agree.
pub fn fit(
    policy: &PolicySpec,
    prompt: usize,
    slots: usize,
    protection: Protection,
    context: &Context,
) -> Result<Fitted, PolicyError> {
    let pinned = if protection == Protection::On { prompt } else { 0 };
    let ask = Ask { layers: context.layers, prompt, pinned, max_tokens: ENDLESS, ..Ask::default() };
    let most = context.layers * (prompt + slots);
    // A later turn is judged as if its sinks were not pinned: a budget must hold them too.
    let later = Ask { unpinned_sinks: usize::MAX, ..ask };
    let bound = |policy: &PolicySpec| {
        let policy = policy.build(context)?;
        policy.bound(&later)?;
        policy.bound(&ask)
    };

    let mut smallest = None;
    for budget in (1..=slots).rev() {
        let policy = with_budget(policy, prompt, budget, protection, context)?;
        match bound(&policy) {
            Ok(bound) if bound.total <= most => return Ok(Fitted { policy, raised: false }),
            Ok(_) => smallest = Some(policy),
            Err(PolicyError::InvalidBudget { .. }) => break, // below its floor
            Err(e) => return Err(e),
        }
    }
    if let Some(policy) = smallest {
        return Ok(Fitted { policy, raised: true });
    }
    let mut last = None;
    for budget in slots + 1..=slots + FLOORS {
        let policy = with_budget(policy, prompt, budget, protection, context)?;
        match bound(&policy) {
            Ok(_) => return Ok(Fitted { policy, raised: true }),
            Err(e @ PolicyError::InvalidBudget { .. }) => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last.unwrap_or(PolicyError::Missing { policy: policy.name(), what: "it", needs: "a budget within reach" }))
}

/// The policy with so many slots of a layer beyond the prompt after a round.
fn with_budget(
    policy: &PolicySpec,
    prompt: usize,
    budget: usize,
    protection: Protection,
    context: &Context,
) -> Result<PolicySpec, PolicyError> {
    let total = policy.get("allocation").map(|_| policy.clone().set("total", context.layers * (prompt + budget)));
    let mut policy = match (total, protection) {
        (Some(Ok(policy)), _) => policy,
        (_, Protection::On) => policy.clone().set("budget", budget)?,
        (_, Protection::Off) => policy.clone().set("cap", prompt + budget)?,
    };
    if policy.get("interval").is_none() {
        policy = policy.set("interval", (budget / 8).max(8))?;
    }
    // `on` leaves a policy that protects the newest prompt only as it is
    match (protection, policy.get("protect_prompt")) {
        (Protection::On, Some("all" | "newest")) => Ok(policy),
        (Protection::On, _) => policy.set("protect_prompt", "all"),
        (Protection::Off, _) => policy.set("protect_prompt", "none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context = Context { layers: 6, slots_per_layer: 4096, max_num_seqs: 4, max_positions: 4096 };

    #[track_caller]
    fn fitted(policy: &str, prompt: usize, slots: usize, protection: Protection) -> Fitted {
        fit(&PolicySpec::parse(policy).unwrap(), prompt, slots, protection, &CONTEXT).unwrap()
    }

    #[test]
    fn the_interval_is_inside_the_budget() {
        let on = fitted("recency", 80, 96, Protection::On);
        assert_eq!(on.policy.to_string(), "recency:budget=86,interval=10,protect_prompt=all");
        let off = fitted("recency", 80, 96, Protection::Off);
        assert_eq!(off.policy.to_string(), "recency:cap=166,interval=10,protect_prompt=none");
        let own = fitted("recency:interval=30", 80, 96, Protection::On);
        assert_eq!(own.policy.to_string(), "recency:interval=30,budget=66,protect_prompt=all");
        assert!(!on.raised && !off.raised && !own.raised);
    }

    #[test]
    fn recents_on_top_of_a_budget_count() {
        // 80 pinned, ceil(0.3 * (80 + B)) recents and 16 of interval: B = 48 would hold 80 + 39 + 8 at most, B + 8 = 56.
        let Fitted { policy, raised } = fitted("lethe", 80, 56, Protection::On);
        assert_eq!((policy.get("budget"), raised), (Some("48"), false));
        // B = 20: recents are 30 however small the budget is
        let Fitted { policy, raised } = fitted("lethe", 80, 28, Protection::On);
        assert_eq!((policy.get("budget"), raised), (Some("4"), true), "the sinks, which a later turn counts");
    }

    #[test]
    fn layers_that_share_unevenly_count_by_their_mean() {
        let Fitted { policy, raised } = fitted("pyramidkv", 80, 128, Protection::On);
        assert!(!raised);
        let budget: usize = policy.get("budget").unwrap().parse().unwrap();
        assert!((110..=114).contains(&budget), "{budget}");
    }

    #[test]
    fn a_floor_above_the_budget_is_raised_to() {
        let Fitted { policy, raised } = fitted("gkv", 80, 24, Protection::On);
        assert_eq!((policy.get("budget"), raised), (Some("36"), true));
        let Fitted { policy, raised } = fitted("gkv", 2, 24, Protection::Off);
        assert_eq!((policy.get("cap"), raised), (Some("36"), true));
    }

    #[test]
    fn an_allocation_takes_a_total() {
        for word in ["uniform", "breakpoint", "hoyer"] {
            let Fitted { policy, raised } = fitted(&format!("lethe:allocation={word}"), 80, 96, Protection::On);
            let total: usize = policy.get("total").unwrap().parse().unwrap();
            assert!(!raised && total.is_multiple_of(6));
            assert_eq!(total / 6 - 80, 85, "one less than a budget: a step may overshoot in every layer");
        }
    }

    #[test]
    fn an_allocation_without_a_total_takes_a_budget() {
        let Fitted { policy, raised } = fitted("lethe+:allocation=reach", 80, 96, Protection::On);
        assert_eq!((policy.get("budget"), policy.get("total"), raised), (Some("85"), None, false));
        let Fitted { policy, .. } = fitted("lethe+:allocation=uniform", 80, 96, Protection::Off);
        assert_eq!(policy.get("cap"), Some("166"));
    }

    #[test]
    fn what_takes_no_budget_is_refused() {
        let refused = |policy: &str| {
            fit(&PolicySpec::parse(policy).unwrap(), 80, 96, Protection::On, &CONTEXT).unwrap_err().to_string()
        };
        assert!(refused("auto").contains("budget"), "{}", refused("auto"));
        assert!(refused("recency:cap=64").contains("cap"), "{}", refused("recency:cap=64"));
    }
}
