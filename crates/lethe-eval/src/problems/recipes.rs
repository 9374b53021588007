//! Recipes: what a thing costs hangs on two others, and theirs on others still.

use std::collections::HashMap;

use super::{Family, Problem, ProblemError, Turn, fits, in_range, rng, rounded};
use crate::rng::Rng;

/// Items and dishes of days, and four foods more.
const FOODS: [&str; 24] = [
    "milk", "rice", "salt", "egg", "corn", "oil", "sage", "plum", "leek", "bean", "kale", "fig", "soup", "stew",
    "cake", "tart", "pie", "curry", "toast", "salad", "pear", "lime", "jam", "dough",
];
/// Different foods that have a price, at most.
const BOUGHT: usize = 8;
/// Recipes of the largest problem.
const MOST: usize = FOODS.len() - BOUGHT;
/// A recipe is needed by one of so many before it, which makes deep stacks of open goals.
const REACH: usize = 3;
/// What anything may cost: the world has numbers of two digits.
const TOP: usize = 99;

/// Problems of [`Family::Recipes`]. A size that is not set is drawn by level, as in training: 1 to 11 recipes.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipes {
    level: f64,
    recipes: Option<usize>,
}

impl Recipes {
    /// Problems of a level.
    pub fn at(level: f64) -> Self {
        Recipes { level: in_range(level), recipes: None }
    }

    /// Exactly so many recipes, 1 to 16. A line of thought opens a goal or settles one, so their number follows.
    #[must_use]
    pub fn recipes(self, recipes: usize) -> Self {
        Recipes { recipes: Some(recipes), ..self }
    }

    /// The problem of `seed`.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for a size out of range.
    pub fn generate(&self, seed: u64) -> Result<Problem, ProblemError> {
        let family = Family::Recipes;
        fits(family, "recipes", self.recipes, 1, MOST)?;
        Ok(Problem { family, level: self.level, seed, turns: self.draw(&mut rng(family, seed)) })
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Turn> {
        let count = self.recipes.unwrap_or_else(|| rng.between(1, MOST.min(2 + rounded(9.0 * self.level))));
        loop {
            let menu = Menu::draw(count, rng);
            let Some((thinking, answer)) = menu.work() else { continue }; // something came to more than 99
            let mut facts: Vec<String> = (0..count).map(|recipe| menu.recipe(recipe)).collect();
            facts.extend(menu.prices.iter().map(|(food, price)| cost(food, *price)));
            rng.shuffle(&mut facts);
            let question = format!("{} What does {} cost?", facts.join(" "), menu.made[0].0);
            return vec![Turn { question, thinking, answer }];
        }
    }
}

/// What is made of what, and what the rest costs.
struct Menu {
    made: Vec<(&'static str, [&'static str; 2])>, // [recipes], the goal first; parts stand further on
    prices: Vec<(&'static str, usize)>,
}

impl Menu {
    fn draw(count: usize, rng: &mut Rng) -> Self {
        let foods = rng.sample(&FOODS, count + BOUGHT.min(count + 1));
        let (names, bought) = foods.split_at(count);
        let mut parts: Vec<Vec<&'static str>> = vec![Vec::new(); count];
        for (recipe, name) in names.iter().enumerate().skip(1) {
            // The recipe before it has no part yet, so there is always a choice.
            let near: Vec<usize> = (recipe.saturating_sub(REACH)..recipe).filter(|&one| parts[one].len() < 2).collect();
            parts[rng.choose(&near)].push(name);
        }
        for (recipe, parts) in parts.iter_mut().enumerate() {
            while parts.len() < 2 {
                // Of the places left over, a quarter names a recipe that another one needs too.
                let shared = rng.between(1, 4) == 1;
                let fresh = |food: &&str| !parts.contains(food);
                let mut pool: Vec<&'static str> =
                    if shared { names[recipe + 1..].iter().copied().filter(fresh).collect() } else { Vec::new() };
                if pool.is_empty() {
                    pool = bought.iter().copied().filter(fresh).collect();
                }
                parts.push(rng.choose(&pool));
            }
            rng.shuffle(parts);
        }
        let used = |food: &&&'static str| parts.iter().any(|parts| parts.contains(*food));
        let prices = bought.iter().filter(used).map(|food| (*food, rng.between(1, 9))).collect();
        Menu { made: names.iter().zip(&parts).map(|(name, parts)| (*name, [parts[0], parts[1]])).collect(), prices }
    }

    /// The text of a recipe.
    fn recipe(&self, recipe: usize) -> String {
        let (food, [a, b]) = self.made[recipe];
        format!("{} is {a} plus {b}.", capital(food))
    }

    /// The lines of thought and the answer; `None` if something costs more than [`TOP`].
    fn work(&self) -> Option<(String, String)> {
        let mut known: HashMap<&str, usize> = self.prices.iter().copied().collect();
        let mut lines = Vec::new();
        let mut open = vec![0]; // recipes
        let mut line = format!("I need {}. ", self.made[0].0);
        while let Some(&recipe) = open.last() {
            let (food, parts) = self.made[recipe];
            line += &self.recipe(recipe);
            let mut sum = Vec::new();
            for part in parts {
                let Some(&price) = known.get(part) else { break };
                line += &format!(" {}", cost(part, price));
                sum.push(price);
            }
            if let [a, b] = sum[..] {
                let total = Some(a + b).filter(|total| *total <= TOP)?;
                known.insert(food, total);
                open.pop();
                line += &format!(" {a} + {b} = {total}. {}", cost(food, total));
                if let Some(&back) = open.last() {
                    line += &format!(" Back to {}.", self.made[back].0);
                }
            } else {
                let part = parts[sum.len()];
                line += &format!(" I need {part} for {food}.");
                open.push(self.made.iter().position(|(name, _)| *name == part)?);
            }
            lines.push(std::mem::take(&mut line));
        }
        let goal = self.made[0].0;
        Some((lines.join("\n"), cost(goal, known[goal])))
    }
}

fn cost(food: &str, price: usize) -> String {
    format!("{} costs {price}.", capital(food))
}

/// A word at the beginning of a sentence.
fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}
