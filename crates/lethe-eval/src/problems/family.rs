//! The families of problems, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ProblemError;

/// What kind of bookkeeping a problem asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Moves between people by numbered cards: facts of the prompt are read again and again, values run on.
    Cards,
    /// Cards with a second turn: the old cards are dead, the values live on.
    TwoTurn,
    /// Sums per day and a running best.
    Days,
    /// Selection sort: only the newest line matters.
    Sort,
    /// Depth-first search through a maze: dead branches come back.
    Rooms,
    /// Backward chaining: goals that are open lie cold until what they need is worked out.
    Recipes,
}

impl Family {
    /// Every family, in the order of the tables.
    pub const ALL: [Family; 6] =
        [Family::Cards, Family::TwoTurn, Family::Days, Family::Sort, Family::Rooms, Family::Recipes];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Family::Cards => "cards",
            Family::TwoTurn => "two_turn",
            Family::Days => "days",
            Family::Sort => "sort",
            Family::Rooms => "rooms",
            Family::Recipes => "recipes",
        }
    }

    /// The family of that name.
    ///
    /// # Errors
    /// [`ProblemError::UnknownFamily`] if there is none.
    pub fn parse(name: &str) -> Result<Family, ProblemError> {
        Family::ALL
            .into_iter()
            .find(|family| family.name() == name)
            .ok_or_else(|| ProblemError::UnknownFamily { name: name.to_owned() })
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Family {
    type Err = ProblemError;

    fn from_str(name: &str) -> Result<Family, ProblemError> {
        Family::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for family in Family::ALL {
            assert_eq!(Family::parse(family.name()), Ok(family));
            assert_eq!(serde_json::to_value(family).unwrap(), family.name());
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Family::parse("chess").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown family `chess`; known families: cards, two_turn, days, sort, rooms, recipes"
        );
    }
}
