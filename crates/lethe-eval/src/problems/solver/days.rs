//! Solves days.

use std::cmp::Ordering;

use super::{Reader, SolveError, between, senseless};
use crate::reads::{Fact, Pen};

/// `dish costs base plus extra`.
struct Recipe<'a> {
    dish: Fact<&'a str>,
    base: &'a str,
    extra: Extra<'a>,
}

enum Extra<'a> {
    Fixed(Fact<i64>),
    Item(&'a str),
}

/// What the items cost on a day.
struct Day<'a> {
    number: i64,
    prices: Vec<(Fact<&'a str>, Fact<i64>)>,
}

/// The best day so far and its total, as last said.
struct Best {
    day: Fact<i64>,
    total: Fact<i64>,
}

pub(super) fn solve(mut reader: Reader<'_>, pen: &mut Pen) -> Result<(), SolveError> {
    let mut recipes = Vec::new();
    let mut days = Vec::new();
    while !reader.eat("Which day is ") {
        if reader.eat("Day ") {
            days.push(read_day(&mut reader)?);
        } else {
            recipes.push(read_recipe(&mut reader)?);
        }
    }
    let asked = reader.word()?.value;
    reader.expect(" ")?;
    let (better, way) = if reader.eat("cheapest") {
        (Ordering::Less, "Cheapest")
    } else {
        reader.expect("dearest")?;
        (Ordering::Greater, "Dearest")
    };
    reader.expect("?")?;
    reader.end()?;

    let mut recipes = in_order(recipes, asked)?;
    let mut before: Option<Fact<i64>> = None;
    let mut best: Option<Best> = None;
    for day in &mut days {
        pen.line();
        pen.put("Day ");
        before.iter().for_each(|before| pen.heed(before));
        before = Some(pen.write(day.number));
        pen.put(": ");
        between(pen, ", ", &mut day.prices, |pen, (item, price)| {
            pen.recall(item);
            pen.put(" ");
            pen.recall(price);
        });
        pen.put(".");
        let mut total = 0;
        for (i, recipe) in recipes.iter_mut().enumerate() {
            let base = if i == 0 { day.price(recipe.base)? } else { total };
            pen.put(" ");
            pen.recall(&mut recipe.dish);
            pen.put(format_args!(" is {base} + "));
            let extra = match &mut recipe.extra {
                Extra::Fixed(amount) => {
                    pen.recall(amount);
                    amount.value
                }
                Extra::Item(item) => {
                    let price = day.price(item)?;
                    pen.put(price);
                    price
                }
            };
            total = base + extra;
            pen.put(format_args!(" = {total}."));
        }
        let order = best.as_mut().map(|best| {
            pen.put(format_args!(" {total} against "));
            pen.recall(&mut best.total);
            let order = total.cmp(&best.total.value);
            pen.put(match order {
                Ordering::Less => ": less.",
                Ordering::Equal => ": same.",
                Ordering::Greater => ": more.",
            });
            order
        });
        pen.put(format_args!(" {way} so far: day "));
        best = Some(match best {
            Some(mut best) if order != Some(better) => {
                pen.carry(&mut best.day);
                pen.put(" with ");
                pen.carry(&mut best.total);
                best
            }
            _ => {
                let day = pen.write(day.number);
                pen.put(" with ");
                Best { day, total: pen.write(total) }
            }
        });
        pen.put(".");
    }
    let Some(mut best) = best else {
        return senseless("there are no days".to_owned());
    };
    pen.answer();
    pen.put("Day ");
    pen.recall(&mut best.day);
    pen.put(".");
    Ok(())
}

impl Day<'_> {
    fn price(&self, item: &str) -> Result<i64, SolveError> {
        match self.prices.iter().find(|(name, _)| name.value == item) {
            Some((_, price)) => Ok(price.value),
            None => senseless(format!("day {} has no price for {item}", self.number)),
        }
    }
}

/// The recipes from the one that needs no other dish to the one asked for.
fn in_order<'a>(mut recipes: Vec<Recipe<'a>>, asked: &str) -> Result<Vec<Recipe<'a>>, SolveError> {
    let mut ordered = Vec::new();
    let mut wanted = asked;
    // From the dish asked for down to its roots: a recipe is used once, so a circle ends too.
    while let Some(at) = recipes.iter().position(|recipe| recipe.dish.value.eq_ignore_ascii_case(wanted)) {
        let recipe = recipes.swap_remove(at);
        wanted = recipe.base;
        ordered.push(recipe);
    }
    if ordered.is_empty() {
        return senseless(format!("there is no recipe for {asked}"));
    }
    ordered.reverse();
    Ok(ordered)
}

fn read_recipe<'a>(reader: &mut Reader<'a>) -> Result<Recipe<'a>, SolveError> {
    let dish = reader.word()?;
    reader.expect(" costs ")?;
    let base = reader.word()?.value;
    reader.expect(" plus ")?;
    let extra = match reader.word() {
        Ok(item) => Extra::Item(item.value),
        Err(_) => Extra::Fixed(reader.number()?),
    };
    reader.expect(". ")?;
    Ok(Recipe { dish, base, extra })
}

/// Reads a day whose `Day ` has been read.
fn read_day<'a>(reader: &mut Reader<'a>) -> Result<Day<'a>, SolveError> {
    let number = reader.number()?.value;
    reader.expect(":")?;
    let mut prices = Vec::new();
    while reader.eat(" ") {
        let item = reader.word()?;
        reader.expect(" ")?;
        prices.push((item, reader.number()?));
    }
    reader.expect(". ")?;
    Ok(Day { number, prices })
}
