//! Days: three dishes built on each other, a price list per day, and a running best.

use std::cmp::Ordering;

use super::{Family, Problem, ProblemError, Turn, fits, in_range, rng, rounded};
use crate::rng::Rng;

const ITEMS: [&str; 12] = ["milk", "rice", "salt", "egg", "corn", "oil", "sage", "plum", "leek", "bean", "kale", "fig"];
const DISHES: [&str; 8] = ["Soup", "Stew", "Cake", "Tart", "Pie", "Curry", "Toast", "Salad"];

/// Problems of [`Family::Days`]. A size that is not set is drawn by level, as in training: 2 to 12 days.
#[derive(Clone, Debug, PartialEq)]
pub struct Days {
    level: f64,
    days: Option<usize>,
}

impl Days {
    /// Problems of a level.
    pub fn at(level: f64) -> Self {
        Days { level: in_range(level), days: None }
    }

    /// Exactly so many days, 1 to 99. This is the length of the chain of thought, line for line.
    #[must_use]
    pub fn days(self, days: usize) -> Self {
        Days { days: Some(days), ..self }
    }

    /// The problem of `seed`.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for a size out of range.
    pub fn generate(&self, seed: u64) -> Result<Problem, ProblemError> {
        let family = Family::Days;
        fits(family, "days", self.days, 1, 99)?;
        Ok(Problem { family, level: self.level, seed, turns: self.draw(&mut rng(family, seed)) })
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Turn> {
        let items = rng.sample(&ITEMS, 3);
        let days = self.days.unwrap_or_else(|| rng.between(2, 3 + rounded(9.0 * self.level)));
        let dishes = rng.sample(&DISHES, 3);
        let extra = rng.between(1, 9);
        let cheapest = rng.choose(&[true, false]);
        let [first, second, third] = [0, 1, 2].map(|i| dishes[i]);
        let [base, middle, last] = [0, 1, 2].map(|i| items[i]);

        let mut recipes = [
            format!("{first} costs {base} plus {extra}."),
            format!("{second} costs {} plus {middle}.", first.to_lowercase()),
            format!("{third} costs {} plus {last}.", second.to_lowercase()),
        ];
        rng.shuffle(&mut recipes);

        let mut prices = Vec::with_capacity(days);
        let mut lines = Vec::with_capacity(days);
        let mut best = (0, 0); // (day, total)
        for day in 1..=days {
            let (a, b, c) = (rng.between(1, 29), rng.between(1, 9), rng.between(1, 9));
            let (s, t, u) = (a + extra, a + extra + b, a + extra + b + c);
            let against = best.1;
            // Of equal days the earliest stays the best.
            let better = if cheapest { u < against } else { u > against };
            if day == 1 || better {
                best = (day, u);
            }
            let verdict = match u.cmp(&against) {
                _ if day == 1 => String::new(),
                Ordering::Less => format!("{u} against {against}: less. "),
                Ordering::Equal => format!("{u} against {against}: same. "),
                Ordering::Greater => format!("{u} against {against}: more. "),
            };
            prices.push(format!("Day {day}: {base} {a} {middle} {b} {last} {c}."));
            lines.push(format!(
                "Day {day}: {base} {a}, {middle} {b}, {last} {c}. {first} is {a} + {extra} = {s}. \
                 {second} is {s} + {b} = {t}. {third} is {t} + {c} = {u}. {verdict}{} so far: day {} with {}.",
                if cheapest { "Cheapest" } else { "Dearest" },
                best.0,
                best.1
            ));
        }
        let asked = if cheapest { "cheapest" } else { "dearest" };
        let question =
            format!("{} {} Which day is {} {asked}?", recipes.join(" "), prices.join(" "), third.to_lowercase());
        vec![Turn { question, thinking: lines.join("\n"), answer: format!("Day {}.", best.0) }]
    }
}
