//! Solves rooms: the search as a stack.

use std::collections::HashMap;

use super::{Reader, SolveError, between, senseless};
use crate::reads::{Fact, Pen};

pub(super) fn solve(mut reader: Reader<'_>, pen: &mut Pen) -> Result<(), SolveError> {
    let mut doors = HashMap::new();
    while reader.eat("Room ") {
        let room = reader.number()?.value;
        reader.expect(": doors to ")?;
        doors.insert(room, reader.numbers()?);
        reader.expect(". ")?;
    }
    reader.expect("Start in room ")?;
    let start = reader.number()?;
    reader.expect(". The lamp is in room ")?;
    let lamp = reader.number()?.value;
    reader.expect(". Which path?")?;
    reader.end()?;

    let mut path = vec![start.value];
    let mut here = start.clone();
    let mut seen = HashMap::from([(start.value, start.clone())]); // room -> where it shows that it was entered
    let mut entered: HashMap<i64, Fact<i64>> = HashMap::new(); // room -> from where, wherever that is said
    loop {
        let Some(&room) = path.last() else {
            return senseless(format!("no path leads from room {} to room {lamp}", start.value));
        };
        if room == lamp {
            break;
        }
        let Some(exits) = doors.get_mut(&room) else {
            return senseless(format!("there is no room {room}"));
        };
        pen.line();
        pen.put("Room ");
        pen.recall(&mut here);
        pen.put(": doors to ");
        between(pen, " ", exits.iter_mut(), Pen::recall);
        pen.put(". ");
        between(pen, ", ", exits.iter(), |pen, exit| {
            pen.put(format_args!("{} ", exit.value));
            match seen.get(&exit.value) {
                Some(seen) => {
                    pen.heed(seen);
                    pen.put("seen");
                }
                None => pen.put("new"),
            }
        });
        pen.put(".");
        if let Some(exit) = exits.iter().map(|exit| exit.value).find(|exit| !seen.contains_key(exit)) {
            pen.put(" I go to ");
            here = pen.write(exit);
            pen.put(" from ");
            entered.insert(exit, pen.write(room));
            pen.put(".");
            seen.insert(exit, here.clone());
            path.push(exit);
        } else {
            path.pop();
            if let Some(from) = entered.get_mut(&room) {
                pen.put(format_args!(" Dead end, {room} from "));
                pen.recall(from);
                pen.put(". Back to ");
                here = pen.write(from.value);
                pen.put(".");
            }
        }
    }
    pen.line();
    pen.put("Room ");
    pen.recall(&mut here);
    pen.put(" has the lamp. Trace back: ");
    let mut last = pen.write(lamp);
    for room in path[1..].iter().rev() {
        pen.put(" from ");
        entered.get_mut(room).into_iter().for_each(|from| pen.recall(from));
    }
    pen.put(".");
    pen.answer();
    for room in &path[1..] {
        entered.get_mut(room).into_iter().for_each(|from| pen.recall(from));
        pen.put(" ");
    }
    pen.recall(&mut last);
    pen.put(".");
    Ok(())
}
