//! How many slots a layer may hold after a round.

use crate::error::PolicyError;
use crate::option::Options;
use crate::schema::{BUDGET, CAP};

/// Slots of a layer after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// All of them: option `cap`.
    Cap(usize),
    /// Those beyond the pinned ones: option `budget`.
    Beyond(usize),
}

impl Budget {
    /// The option given, if any.
    ///
    /// # Errors
    /// [`PolicyError::Conflict`] where both are.
    pub(crate) fn from_options(options: &Options<'_>) -> Result<Option<Self>, PolicyError> {
        options.exclusive("cap", "budget", "a cap counts the pinned slots, a budget does not: give one")?;
        let cap = options.optional("cap")?.map(Budget::Cap);
        let beyond = options.optional("budget")?.map(Budget::Beyond);
        Ok(cap.or(beyond))
    }

    /// All slots of a layer with so many pinned ones.
    pub(crate) fn cap(self, pinned: usize) -> usize {
        match self {
            Budget::Cap(cap) => cap,
            Budget::Beyond(budget) => budget.saturating_add(pinned),
        }
    }

    /// Slots beyond the pinned ones.
    pub(crate) fn beyond(self, pinned: usize) -> usize {
        match self {
            Budget::Cap(cap) => cap.saturating_sub(pinned),
            Budget::Beyond(budget) => budget,
        }
    }

    /// Fails where fewer than `need` slots are left beyond `pinned` ones. The error counts as the option does.
    pub(crate) fn check(self, policy: &'static str, pinned: usize, need: usize) -> Result<(), PolicyError> {
        let (have, need) = match self {
            Budget::Cap(cap) => (cap, pinned.saturating_add(need)),
            Budget::Beyond(budget) => (budget, need),
        };
        if have < need {
            let remedy = crate::error::RAISE_IT;
            return Err(PolicyError::InvalidBudget { policy, key: self.key(), have, need, remedy });
        }
        Ok(())
    }

    /// The option, for reports.
    pub(crate) fn report(self) -> (&'static str, String) {
        let (Budget::Cap(slots) | Budget::Beyond(slots)) = self;
        (self.key(), slots.to_string())
    }

    fn key(self) -> &'static str {
        match self {
            Budget::Cap(_) => CAP.key,
            Budget::Beyond(_) => BUDGET.key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_and_budget_differ_by_the_pinned_slots() {
        assert_eq!((Budget::Cap(100).cap(30), Budget::Cap(100).beyond(30)), (100, 70));
        assert_eq!((Budget::Beyond(100).cap(30), Budget::Beyond(100).beyond(30)), (130, 100));
        assert_eq!(Budget::Cap(100).beyond(300), 0);
    }

    #[test]
    fn a_budget_below_the_need_is_refused_with_both_numbers() {
        assert_eq!(Budget::Cap(34).check("p", 30, 4), Ok(()));
        assert_eq!(Budget::Beyond(4).check("p", 30, 4), Ok(()));
        for (budget, numbers) in [(Budget::Cap(33), (33, 34)), (Budget::Beyond(3), (3, 4))] {
            match budget.check("p", 30, 4) {
                Err(PolicyError::InvalidBudget { have, need, .. }) => assert_eq!((have, need), numbers),
                other => panic!("{other:?}"),
            }
        }
    }
}
