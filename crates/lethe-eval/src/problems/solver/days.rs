//! Solves days.

use super::{Reader, Solution, SolveError, join, senseless};

/// `dish costs base plus extra`.
struct Recipe<'a> {
    dish: &'a str,
    base: &'a str,
    extra: Extra<'a>,
}

enum Extra<'a> {
    Fixed(i64),
    Item(&'a str),
}

/// What the items cost on a day.
struct Day<'a> {
    number: i64,
    prices: Vec<(&'a str, i64)>,
}

pub(super) fn solve(mut reader: Reader<'_>) -> Result<Solution, SolveError> {
    let mut recipes = Vec::new();
    let mut days = Vec::new();
    while !reader.eat("Which day is ") {
        if reader.eat("Day ") {
            days.push(read_day(&mut reader)?);
        } else {
            recipes.push(read_recipe(&mut reader)?);
        }
    }
    let asked = reader.word()?;
    reader.expect(" ")?;
    let better = if reader.eat("cheapest") {
        i64::lt
    } else {
        reader.expect("dearest")?;
        i64::gt
    };
    reader.expect("?")?;
    reader.end()?;

    let recipes = in_order(recipes, asked)?;
    let mut thinking = Vec::new();
    let mut best: Option<(i64, i64)> = None; // (day, total)
    for day in &days {
        let prices = join(day.prices.iter().map(|(item, price)| format!("{item} {price}")), ", ");
        let mut line = format!("Day {}: {prices}.", day.number);
        let mut total = 0;
        for (i, recipe) in recipes.iter().enumerate() {
            let base = if i == 0 { day.price(recipe.base)? } else { total };
            let extra = match recipe.extra {
                Extra::Fixed(amount) => amount,
                Extra::Item(item) => day.price(item)?,
            };
            total = base + extra;
            line += &format!(" {} is {base} + {extra} = {total}.", recipe.dish);
        }
        let (holder, record) = match best {
            Some((holder, record)) if !better(&total, &record) => (holder, record),
            _ => (day.number, total),
        };
        best = Some((holder, record));
        thinking.push(format!("{line} Best so far: day {holder} with {record}."));
    }
    match best {
        Some((day, _)) => Ok(Solution { thinking, answer: format!("Day {day}.") }),
        None => senseless("there are no days".to_owned()),
    }
}

impl Day<'_> {
    fn price(&self, item: &str) -> Result<i64, SolveError> {
        match self.prices.iter().find(|(name, _)| *name == item) {
            Some(&(_, price)) => Ok(price),
            None => senseless(format!("day {} has no price for {item}", self.number)),
        }
    }
}

/// The recipes from the one that needs no other dish to the one asked for.
fn in_order<'a>(mut recipes: Vec<Recipe<'a>>, asked: &str) -> Result<Vec<Recipe<'a>>, SolveError> {
    let mut ordered = Vec::new();
    let mut wanted = asked;
    // From the dish asked for down to its roots: a recipe is used once, so a circle ends too.
    while let Some(at) = recipes.iter().position(|recipe| recipe.dish.eq_ignore_ascii_case(wanted)) {
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
    let base = reader.word()?;
    reader.expect(" plus ")?;
    let extra = match reader.word() {
        Ok(item) => Extra::Item(item),
        Err(_) => Extra::Fixed(reader.number()?),
    };
    reader.expect(". ")?;
    Ok(Recipe { dish, base, extra })
}

/// Reads a day whose `Day ` has been read.
fn read_day<'a>(reader: &mut Reader<'a>) -> Result<Day<'a>, SolveError> {
    let number = reader.number()?;
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
