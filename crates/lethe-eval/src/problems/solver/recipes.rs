//! Solves recipes: the goals that are open as a stack.

use std::collections::HashMap;

use super::{Reader, SolveError, senseless};
use crate::reads::{Fact, Pen};

/// What anything may come to.
const TOP: i64 = 99;

/// A goal that is open.
struct Goal<'a> {
    /// Where it was last named: the next line begins with it.
    named: Fact<&'a str>,
    /// For whom it was opened, as said there; the first goal is for nobody.
    by: Option<Fact<&'a str>>,
}

pub(super) fn solve(mut reader: Reader<'_>, pen: &mut Pen) -> Result<(), SolveError> {
    let mut recipes: HashMap<String, [Fact<&str>; 2]> = HashMap::new();
    let mut prices: HashMap<String, Fact<i64>> = HashMap::new();
    while !reader.eat("What does ") {
        let food = reader.word()?.value.to_ascii_lowercase();
        if recipes.contains_key(&food) || prices.contains_key(&food) {
            return senseless(format!("what {food} costs is said twice"));
        }
        if reader.eat(" costs ") {
            prices.insert(food, reader.number()?);
        } else {
            reader.expect(" is ")?;
            let first = reader.word()?;
            reader.expect(" plus ")?;
            recipes.insert(food, [first, reader.word()?]);
        }
        reader.expect(". ")?;
    }
    let mut goal = reader.word()?;
    reader.expect(" cost?")?;
    reader.end()?;

    pen.line();
    pen.put("I need ");
    pen.recall(&mut goal);
    pen.put(". ");
    let asked = goal.value;
    let mut open = vec![Goal { named: goal, by: None }];
    while let Some(Goal { named, .. }) = open.last() {
        let food = named.value;
        pen.heed(named);
        pen.put(capital(food));
        pen.put(" is ");
        let Some(parts) = recipes.get_mut(food) else { return senseless(format!("nobody knows what {food} costs")) };
        let [first, second] = parts;
        pen.recall(first);
        pen.put(" plus ");
        pen.recall(second);
        pen.put(".");
        let (mut sum, mut terms, mut missing) = (0, Vec::new(), None);
        for part in parts {
            let Some(price) = prices.get_mut(part.value) else {
                missing = Some(part.value);
                break;
            };
            pen.put(format_args!(" {} costs ", capital(part.value)));
            pen.recall(price);
            pen.put(".");
            sum += price.value;
            terms.push(price.value.to_string());
        }
        if let Some(part) = missing {
            if open.iter().any(|goal| goal.named.value == part) {
                return senseless(format!("{part} is made of itself"));
            }
            pen.put(" I need ");
            let named = pen.write(part);
            pen.put(" for ");
            let by = Some(pen.write(food));
            pen.put(".");
            open.push(Goal { named, by });
        } else {
            if sum > TOP {
                return senseless(format!("{food} comes to {sum}, more than {TOP}"));
            }
            pen.put(format_args!(" {} = {sum}. {} costs ", terms.join(" + "), capital(food)));
            prices.insert(food.to_owned(), pen.write(sum));
            pen.put(".");
            let by = open.pop().and_then(|goal| goal.by);
            if let (Some(mut by), Some(goal)) = (by, open.last_mut()) {
                pen.put(" Back to ");
                pen.recall(&mut by);
                pen.put(".");
                goal.named = by;
            }
        }
        if !open.is_empty() {
            pen.line();
        }
    }
    pen.answer();
    pen.put(format_args!("{} costs ", capital(asked)));
    prices.get_mut(asked).into_iter().for_each(|price| pen.recall(price));
    pen.put(".");
    Ok(())
}

/// A word at the beginning of a sentence.
fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1); // words are ASCII letters, at least one
    first.to_ascii_uppercase() + rest
}
