//! Solves rooms: the search as a stack.

use std::collections::{HashMap, HashSet};

use super::{Reader, Solution, SolveError, join, senseless};

pub(super) fn solve(mut reader: Reader<'_>) -> Result<Solution, SolveError> {
    let mut doors = HashMap::new();
    while reader.eat("Room ") {
        let room = reader.number()?;
        reader.expect(": doors to ")?;
        doors.insert(room, reader.numbers()?);
        reader.expect(". ")?;
    }
    reader.expect("Start in room ")?;
    let start = reader.number()?;
    reader.expect(". The lamp is in room ")?;
    let lamp = reader.number()?;
    reader.expect(". Which path?")?;
    reader.end()?;

    let mut thinking = Vec::new();
    let mut seen = HashSet::from([start]);
    let mut path = vec![start];
    loop {
        let Some(&room) = path.last() else {
            return senseless(format!("no path leads from room {start} to room {lamp}"));
        };
        if room == lamp {
            break;
        }
        let Some(exits) = doors.get(&room) else {
            return senseless(format!("there is no room {room}"));
        };
        let new: Vec<i64> = exits.iter().copied().filter(|exit| !seen.contains(exit)).collect();
        let marks = exits.iter().map(|exit| format!("{exit} {}", if new.contains(exit) { "new" } else { "seen" }));
        let mut line = format!("Room {room}: doors to {}. {}.", join(exits, " "), join(marks, ", "));
        if let Some(&exit) = new.first() {
            line += &format!(" I go to {exit} from {room}.");
            seen.insert(exit);
            path.push(exit);
        } else {
            path.pop();
            if let Some(back) = path.last() {
                line += &format!(" Dead end, {room} from {back}. Back to {back}.");
            }
        }
        thinking.push(line);
    }
    let trace = join(path.iter().rev(), " from ");
    thinking.push(format!("Room {lamp} has the lamp. Trace back: {trace}."));
    Ok(Solution { thinking, answer: join(path, " ") + "." })
}
