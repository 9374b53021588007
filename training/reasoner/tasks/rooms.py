"""Rooms: depth-first search for a lamp; branches that died come back as "seen", and the way back is read far behind."""

from random import Random

from .problem import Turn
from .words import spaced

DOORS = 4  # of a room, at most


def draw(rng: Random, level: float, size: int | None = None) -> tuple[Turn, ...]:
    """4 to 14 rooms at level 1, or exactly `size`."""
    doors = _maze(rng, size or rng.randint(4, 5 + round(9 * level)))
    order = list(doors)
    rng.shuffle(order)
    start, lamp = rng.sample(order, 2)
    question = " ".join(f"Room {room}: doors to {spaced(doors[room])}." for room in order)
    question += f" Start in room {start}. The lamp is in room {lamp}. Which path?"
    came_from: dict[int, int | None] = {start: None}
    here, lines = start, []
    while here != lamp:
        state = ", ".join(f"{room} {'seen' if room in came_from else 'new'}" for room in doors[here])
        line = f"Room {here}: doors to {spaced(doors[here])}. {state}."
        new = next((room for room in doors[here] if room not in came_from), None)
        if new is not None:
            lines.append(f"{line} I go to {new} from {here}.")
            came_from[new] = here
            here = new
        else:
            back = came_from[here]
            lines.append(f"{line} Dead end, {here} from {back}. Back to {back}.")
            here = back
    trace, room = [], lamp
    while room is not None:
        trace.append(room)
        room = came_from[room]
    lines.append(f"Room {lamp} has the lamp. Trace back: {' from '.join(map(str, trace))}.")
    return (Turn(question, "\n".join(lines), f"{spaced(trace[::-1])}."),)


def _maze(rng: Random, count: int) -> dict[int, list[int]]:
    """Rooms and the rooms behind their doors, all within reach of each other."""
    rooms = rng.sample(range(1, 100), count)
    doors: dict[int, list[int]] = {room: [] for room in rooms}

    def link(a: int, b: int) -> None:
        if b not in doors[a]:
            doors[a].append(b)
            doors[b].append(a)

    # A tree of which every room hangs on one of the five before it makes deep branches that die.
    for i in range(1, count):
        near = [room for room in rooms[max(0, i - 5) : i] if len(doors[room]) < DOORS]
        link(rooms[i], rng.choice(near))
    # A few more doors make circles.
    for _ in range(count // 4):
        a, b = rng.sample(rooms, 2)
        if len(doors[a]) < DOORS and len(doors[b]) < DOORS:
            link(a, b)
    for room in rooms:
        rng.shuffle(doors[room])
    return doors
