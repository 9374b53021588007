//! Rooms: depth-first search for a lamp.

use super::{Family, Problem, ProblemError, Turn, fits, in_range, rng, rounded, spaced};
use crate::rng::Rng;

/// Doors of a room, at most.
const DOORS: usize = 4;

/// Problems of [`Family::Rooms`]. A size that is not set is drawn by level, as in training: 4 to 14 rooms.
#[derive(Clone, Debug, PartialEq)]
pub struct Rooms {
    level: f64,
    rooms: Option<usize>,
}

impl Rooms {
    /// Problems of a level.
    pub fn at(level: f64) -> Self {
        Rooms { level: in_range(level), rooms: None }
    }

    /// Exactly so many rooms, 2 to 99. The length of the chain of thought follows from luck as well.
    #[must_use]
    pub fn rooms(self, rooms: usize) -> Self {
        Rooms { rooms: Some(rooms), ..self }
    }

    /// The problem of `seed`.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for a size out of range.
    pub fn generate(&self, seed: u64) -> Result<Problem, ProblemError> {
        let family = Family::Rooms;
        fits(family, "rooms", self.rooms, 2, 99)?;
        Ok(Problem { family, level: self.level, seed, turns: self.draw(&mut rng(family, seed)) })
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Turn> {
        let count = self.rooms.unwrap_or_else(|| rng.between(4, 5 + rounded(9.0 * self.level)));
        let maze = Maze::draw(count, rng);
        let mut order: Vec<usize> = (0..count).collect();
        rng.shuffle(&mut order);
        let (start, lamp) = rng.pair(&order);
        let rooms: Vec<String> = order.iter().map(|&room| maze.room(room)).collect();
        let question = format!(
            "{} Start in room {}. The lamp is in room {}. Which path?",
            rooms.join(" "),
            maze.numbers[start],
            maze.numbers[lamp]
        );
        let (thinking, answer) = maze.search(start, lamp);
        vec![Turn { question, thinking, answer }]
    }
}

/// Rooms by index, all of them within reach of each other.
struct Maze {
    numbers: Vec<usize>,    // [rooms], the number on the door
    doors: Vec<Vec<usize>>, // [rooms][its doors], the rooms behind them
}

impl Maze {
    fn draw(count: usize, rng: &mut Rng) -> Self {
        let numbers = rng.sample(&(1..=99).collect::<Vec<_>>(), count);
        let mut maze = Maze { numbers, doors: vec![Vec::new(); count] };
        // A tree of which every room hangs on one of the five before it makes deep branches that die.
        for room in 1..count {
            // The room before has one door so far, so there is always a choice.
            let near: Vec<usize> = (room.saturating_sub(5)..room).filter(|&other| maze.has_wall(other)).collect();
            maze.link(room, rng.choose(&near));
        }
        // A few more doors make circles.
        let all: Vec<usize> = (0..count).collect();
        for _ in 0..count / 4 {
            let (a, b) = rng.pair(&all);
            if maze.has_wall(a) && maze.has_wall(b) {
                maze.link(a, b);
            }
        }
        maze.doors.iter_mut().for_each(|doors| rng.shuffle(doors));
        maze
    }

    /// Whether the room has a wall left for a door.
    fn has_wall(&self, room: usize) -> bool {
        self.doors[room].len() < DOORS
    }

    fn link(&mut self, a: usize, b: usize) {
        if !self.doors[a].contains(&b) {
            self.doors[a].push(b);
            self.doors[b].push(a);
        }
    }

    /// The text of a room.
    fn room(&self, room: usize) -> String {
        let doors = spaced(self.doors[room].iter().map(|&other| self.numbers[other]));
        format!("Room {}: doors to {doors}.", self.numbers[room])
    }

    /// Walks from `start` through the first new door of each room, and back from dead ends, until the lamp; the lines
    /// of thought and the path.
    fn search(&self, start: usize, lamp: usize) -> (String, String) {
        let name = |room: usize| self.numbers[room];
        let mut from: Vec<Option<usize>> = vec![None; self.numbers.len()]; // [rooms], where each was entered from
        from[start] = Some(start);
        let mut lines = Vec::new();
        let mut at = start;
        while at != lamp {
            let state = |&room: &usize| format!("{} {}", name(room), if from[room].is_some() { "seen" } else { "new" });
            let doors = self.doors[at].iter().map(state).collect::<Vec<_>>().join(", ");
            let line = format!("{} {doors}.", self.room(at));
            let new = self.doors[at].iter().copied().find(|&room| from[room].is_none());
            if let Some(room) = new {
                lines.push(format!("{line} I go to {} from {}.", name(room), name(at)));
                from[room] = Some(at);
                at = room;
            } else {
                // Every room is within reach, so the search is never stuck at the start.
                let back = from[at].unwrap_or(start);
                lines.push(format!("{line} Dead end, {} from {}. Back to {}.", name(at), name(back), name(back)));
                at = back;
            }
        }
        let mut path = vec![lamp];
        while at != start {
            at = from[at].unwrap_or(start);
            path.push(at);
        }
        let trace: Vec<String> = path.iter().map(|&room| name(room).to_string()).collect();
        lines.push(format!("Room {} has the lamp. Trace back: {}.", name(lamp), trace.join(" from ")));
        (lines.join("\n"), format!("{}.", spaced(path.iter().rev().map(|&room| name(room)))))
    }
}
