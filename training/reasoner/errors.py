"""What kind of mistake a reply makes first."""

import re

# Where the right text stands when the two part, by the end of its line so far. The first that fits names the kind.
KINDS = {
    "cards": [
        (r"^$|Move \d* ?$|Move \d+ of $", "count"),
        (r"Move \d+ of \d+\. [^.]*$", "card"),
        (r"= $", "sum"),
        (r"\d [-+] $", "amount"),
        (r" is $", "parity"),
        (r"so card $", "branch"),
        (r"\. \w+( \d+ [-+] )?$|, \w+ (\d+ [-+] )?$|[.,] \w* ?$", "holding"),
    ],
    "days": [
        (r"^Day [^.]*$", "price"),
        (r"= $", "sum"),
        (r"against \d+: $", "comparison"),
        (r"so far: day $|so far: day \d+ with $", "best"),
        (r"against $", "best before"),
        (r"is [\d+ ]*$", "term"),
    ],
    "sort": [(r"Smallest $", "smallest"), (r"; left [\d ]*$", "left"), (r"; sorted [\d ]*$", "sorted")],
    "rooms": [
        (r"Trace back: .*$", "trace"),
        (r"doors to [\d ]*$|doors to [\d ]*\. $|(new|seen), $", "doors"),
        (r"[.,] \d+ $", "seen or new"),
        (r"(new|seen)\. $|I go to $", "choice"),
        (r"from $|Back to $|Dead end", "way back"),
        (r"^$|^Room ?\d* ?$", "room"),
    ],
    "recipes": [
        (r" is (\w+ plus )?$", "recipe"),
        (r"costs $", "price"),
        (r"\d [+=] $", "sum"),
        (r"(Back to|for) $", "goal"),
        (r"\. $|\.$", "known or open"),
        (r"need $", "choice"),
    ],
}
KINDS["two_turn"] = KINDS["cards"]
WORD = re.compile(r" ?\w+| ?[^\w\s]+|\s")


def kind_of(family: str, thinking: str, answer: str, said: str) -> str:
    """The kind of a wrong reply's first departure from the right thinking, or from the answer after it."""
    right = WORD.findall(f"<think>\n{thinking}\n</think>\n\n{answer}")
    given = WORD.findall(said.replace("<|im_end|>", ""))
    for i, word in enumerate(right):
        if i >= len(given):
            return "cut off"
        if given[i] != word:
            break
    else:
        return "goes on"
    before = "".join(right[:i])
    if "</think>" in before:
        return "answer"
    line = before.rsplit("\n", 1)[-1] + " " * right[i].startswith(" ")
    return next((kind for pattern, kind in KINDS[family] if re.search(pattern, line)), "form")
