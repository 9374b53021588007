"""Solves problems from the text of their questions and nothing else; shares no code with what draws them."""

import re


def solve(family: str, questions: list[str]) -> list[tuple[str, str]]:
    """Thinking and answer of each turn."""
    if family in ("cards", "two_turn"):
        holdings: dict[str, int] = {}
        return [_cards(question, holdings) for question in questions]
    return [{"days": _days, "sort": _sort, "rooms": _rooms, "recipes": _recipes}[family](*questions)]


def _cards(question: str, holdings: dict[str, int]) -> tuple[str, str]:
    if not question.startswith("Now use these cards instead: "):
        head = question.split(". ", 1)[0]
        holdings.update((name, int(value)) for name, value in re.findall(r"(\w+) (\d+)", head))
    found = re.findall(r"(Card (\d+): (\w+) gives (\w+) (\d+); if (\w+) even (\d+) else (\d+)\.)", question)
    cards = {number: rest for _, number, *rest in found}
    texts = {number: text for text, number, *_ in found}
    at, moves = re.search(r"Start at card (\d+), play (\d+) moves\. Who has what\?$", question).groups()
    lines = []
    for i in range(int(moves)):
        giver, taker, amount, watched, even, odd = cards[at]
        line = f"Move {i + 1} of {moves}. {texts[at]} "
        line += f"{giver} {holdings[giver]} - {amount} = {holdings[giver] - int(amount)}, "
        holdings[giver] -= int(amount)
        line += f"{taker} {holdings[taker]} + {amount} = {holdings[taker] + int(amount)}. "
        holdings[taker] += int(amount)
        assert 0 <= holdings[giver] and holdings[taker] <= 99
        parity, at = ("odd", odd) if holdings[watched] % 2 else ("even", even)
        lines.append(line + f"{watched} {holdings[watched]} is {parity}, so card {at}.")
    return "\n".join(lines), ", ".join(f"{name} has {value}" for name, value in holdings.items()) + "."


def _days(question: str) -> tuple[str, str]:
    dish, asked = re.search(r"Which day is (\w+) (cheapest|dearest)\?$", question).groups()
    recipes = {a.lower(): (a, b, c) for a, b, c in re.findall(r"(\w+) costs (\w+) plus (\w+)\.", question)}
    chain = []
    while dish in recipes:
        chain.insert(0, recipes[dish])
        dish = recipes[dish][1]
    lines, totals = [], []
    for day, listed in re.findall(r"Day (\d+): ([^.]+)\.", question):
        pairs = re.findall(r"(\w+) (\d+)", listed)
        price = {item: int(value) for item, value in pairs}
        total = price[dish]
        line = f"Day {day}: {', '.join(f'{item} {value}' for item, value in pairs)}."
        for name, _, extra in chain:
            more = int(extra) if extra.isdigit() else price[extra]
            line += f" {name} is {total} + {more} = {total + more}."
            total += more
        if totals:
            best = (min if asked == "cheapest" else max)(totals)
            line += f" {total} against {best}: {'same' if total == best else 'less' if total < best else 'more'}."
        totals.append(total)
        best = (min if asked == "cheapest" else max)(totals)
        lines.append(line + f" {asked.title()} so far: day {totals.index(best) + 1} with {best}.")
    return "\n".join(lines), f"Day {totals.index(best) + 1}."


def _sort(question: str) -> tuple[str, str]:
    numbers = re.fullmatch(r"Sort ([\d ]+)\.", question)[1].split()
    ordered = sorted(numbers, key=int)
    lines = []
    for i, smallest in enumerate(ordered):
        left = [number for number in numbers if number not in ordered[: i + 1]]
        lines.append(f"Smallest {smallest}; left {' '.join(left) or 'none'}; sorted {' '.join(ordered[: i + 1])}.")
    return "\n".join(lines), " ".join(ordered) + "."


def _rooms(question: str) -> tuple[str, str]:
    doors = {room: behind.split() for room, behind in re.findall(r"Room (\d+): doors to ([\d ]+)\.", question)}
    start, lamp = re.search(r"Start in room (\d+)\. The lamp is in room (\d+)\. Which path\?$", question).groups()
    seen, path, lines = {start}, [start], []
    while path[-1] != lamp:
        here = path[-1]
        states = [f"{room} {'seen' if room in seen else 'new'}" for room in doors[here]]
        line = f"Room {here}: doors to {' '.join(doors[here])}. {', '.join(states)}."
        fresh = [room for room in doors[here] if room not in seen]
        if fresh:
            line += f" I go to {fresh[0]} from {here}."
            seen.add(fresh[0])
            path.append(fresh[0])
        else:
            path.pop()
            line += f" Dead end, {here} from {path[-1]}. Back to {path[-1]}."
        lines.append(line)
    lines.append(f"Room {lamp} has the lamp. Trace back: {' from '.join(reversed(path))}.")
    return "\n".join(lines), " ".join(path) + "."


def _recipes(question: str) -> tuple[str, str]:
    known = {food: int(price) for food, price in re.findall(r"(\w+) costs (\d+)\.", question)}
    made = {food: (a, b) for food, a, b in re.findall(r"(\w+) is (\w+) plus (\w+)\.", question)}
    goal = re.search(r"What does (\w+) cost\?$", question)[1]
    lines: list[str] = []

    def visit(food: str, back: str) -> None:
        """Works out a recipe; the line in hand is the last one."""
        title = food.capitalize()
        parts = made[title]
        for part in parts:
            if part.capitalize() not in known:
                again = f"{title} is {parts[0]} plus {parts[1]}."
                if part == parts[1]:
                    again += f" {parts[0].capitalize()} costs {known[parts[0].capitalize()]}."
                lines.append(f"{again} I need {part} for {food}.")
                visit(part, f" Back to {food}.")
        a, b = (known[part.capitalize()] for part in parts)
        known[title] = a + b
        costs = [f"{part.capitalize()} costs {known[part.capitalize()]}." for part in parts]
        lines.append(
            f"{title} is {parts[0]} plus {parts[1]}. {' '.join(costs)} "
            f"{a} + {b} = {a + b}. {title} costs {a + b}.{back}"
        )

    visit(goal, "")
    lines[0] = f"I need {goal}. {lines[0]}"
    return "\n".join(lines), f"{goal.capitalize()} costs {known[goal.capitalize()]}."
