"""The model card, written from what was measured."""

from collections.abc import Iterable
from itertools import takewhile
from textwrap import dedent, fill

from .evaluate import AT_LEAST, FIRST_LEVELS
from .model import Shape
from .presets import Preset
from .statistics import wilson

NAMES = {"cpu": "reasoner-s", "gpu": "reasoner-m"}
ABOUT = {
    "cards": "values move between people by numbered cards; facts of the prompt are read again and again",
    "two_turn": "cards, and new cards in a second turn: values live on, the old cards are dead",
    "days": "sums, and a running best that each line compares with",
    "sort": "selection sort: only the newest line matters",
    "rooms": "depth-first search through a maze: dead branches come back",
    "recipes": "backward chaining: a stack of open goals, each cold until it is come back to",
}
# What the first embedded model had right at `FIRST_LEVELS`, greedy, full cache; days in their older text.
FIRST = {"cards": (25, 25), "two_turn": (5, 8), "days": (7, 25), "sort": (21, 25), "rooms": (24, 25)}
CLAIM = 0.9  # right, at every length up to the longest that is claimed


def card(
    preset: Preset, shape: Shape, seed: int, training: dict, measured: dict, layers: list[dict[str, float]]
) -> str:
    """Markdown. training: `parameters`, `tokens`, `steps`, `seconds`, `device`, and `base`, the name of the model that
    it started from, or none; measured: `evaluate.summary`."""
    base = training["base"]
    parts = [
        f"# {f'{base}, taught to keep books' if base else NAMES.get(preset.name, preset.name)}",
        _about(shape, training["parameters"], base),
        _table(["family", "the problem"], ABOUT.items()),
        "## Training",
        _training(preset, seed, training),
        "## Accuracy",
        _accuracy(measured["families"]),
        f"By length, in tokens of the whole conversation, in groups of {AT_LEAST} or more where there are as many:",
        _by_length(measured["lengths"]),
        _claim(measured["lengths"]),
        "First mistakes of the wrong ones:",
        _errors(measured["errors"]),
        "## Layers",
        _layers(layers),
    ]
    if measured["first"]:
        parts += ["## Against the first reasoner-s", _against(measured["first"])]
    parts += ["## Limits", _limits(preset, base)]
    return "\n\n".join(parts) + "\n"


def _about(shape: Shape, parameters: int, base: str | None) -> str:
    knows = (
        f"It started from {base}; what that knew of language has not been looked at since."
        if base
        else "It has no general language and no knowledge, and follows no instructions beyond six fixed formats."
    )
    return _paragraph(
        f"""A reasoning model of {parameters / 1e6:.1f}M parameters in the {"Qwen3" if shape.qk_norm else "Llama"}
        architecture ({shape.layers} layers, hidden size {shape.d_model}, {shape.heads} query heads over
        {shape.kv_heads} KV heads of {shape.head_dim}, SwiGLU {shape.d_ff}{", q/k norm" * shape.qk_norm}, tied
        embeddings, f16). It thinks in long chains, which a program can check, about one small world of bookkeeping
        problems. {knows} It is a synthetic test bed, not an assistant."""
    )


def _training(preset: Preset, seed: int, training: dict) -> str:
    return _paragraph(
        f"""{training["tokens"] / 1e6:.1f}M tokens in {training["steps"]} steps,
        {training["seconds"] / 60:.0f} minutes on {training["device"]}; preset `{preset.name}`, seed {seed}. Loss on the
        assistant's part only, problems unpacked, short to long, jumps in the positions up to {preset.max_positions},
        averaged weights. {_start(preset)} Chosen by what it gets right with the full cache, never by how it does
        when a cache forgets."""
    )


def _start(preset: Preset) -> str:
    """How a run starts, from scratch or from a model that is there already, and what changes its weights."""
    if not preset.base:
        return """Layers 0 to 2 start as known look-up circuits, and numbers with their sizes; Muon for matrices, AdamW
        for the rest."""
    what = f"adapters of rank {preset.rank} beside all matrices" if preset.rank else "all weights"
    return f"AdamW changed {what} of the model that it started from."


def _accuracy(families: dict) -> str:
    text = _paragraph(
        """Greedy, full cache, float32, on problems from random streams that training does not draw from. A problem is
        right if the answer of every turn is, to the letter. Levels are spread evenly from the easiest to 20 moves of
        cards, 2 x 10 of two-turn cards, and full difficulty of the others; the upper half of the levels is counted
        apart as well. Long ones go on from there to the longest that training draws. Intervals are Wilson's, 95 %."""
    )
    rows = []
    for family, count in families.items():
        right, total, (low, high) = count["right"], count["total"], count["interval"]
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        rate = f"{100 * right / total:.1f}"
        tokens = (count["mean_tokens"], count["max_tokens"])
        upper = count.get("upper_half")
        upper = f"{upper['right']}/{upper['total']}" if upper else ""
        rows.append((family, f"{right}/{total}", rate, interval, upper, count["flawless"], *tokens))
    heads = ["family", "right", "%", "interval", "upper half", "flawless thinking", "tokens, mean", "tokens, most"]
    return f"{text}\n\n{_table(heads, rows)}"


def _by_length(lengths: dict) -> str:
    lines = []
    for family, groups in lengths.items():
        told = (f"{g['min_tokens']} to {g['max_tokens']} {g['right']}/{g['total']}" for g in groups)
        lines.append(f"- {family}: {', '.join(told)}")
    return "\n".join(lines)


def _claim(lengths: dict) -> str:
    """The longest length up to which nine in ten are right in every group, by family."""
    claims = []
    for family, groups in lengths.items():
        good = list(takewhile(lambda count: count["right"] >= CLAIM * count["total"], groups))
        longest = good[-1]["max_tokens"] if good else "none"
        claims.append(f"{family} {longest}{', the longest asked' * (len(good) == len(groups))}")
    return _paragraph(f"Right nine times in ten in every group up to, in tokens: {'; '.join(claims)}.")


def _errors(errors: dict) -> str:
    lines = [
        f"- {family}: {', '.join(f'{kind} {count}' for kind, count in kinds.items())}"
        for family, kinds in errors.items()
        if kinds
    ]
    return "\n".join(lines) or "None was wrong."


def _layers(layers: list[dict[str, float]]) -> str:
    values = [layer["hoyer"] for layer in layers]
    monotone = values in (sorted(values), sorted(values, reverse=True))
    text = _paragraph(
        f"""On right conversations: attention on the first four tokens, and Hoyer's sparsity of the weights (0 even, 1
        all on one). Sparsity runs from {min(values):.2f} to {max(values):.2f} and is
        {"" if monotone else "not "}monotone in depth."""
    )
    rows = [(i, f"{layer['sink_mass']:.3f}", f"{layer['hoyer']:.3f}") for i, layer in enumerate(layers)]
    return f"{text}\n\n{_table(['layer', 'sink mass', 'sparsity'], rows)}"


def _against(measured: dict) -> str:
    def cell(right: int, total: int) -> str:
        low, high = wilson(right, total)
        return f"{right}/{total} ({100 * low:.0f} to {100 * high:.0f} %)"

    rows = []
    for family, count in measured.items():
        levels = ", ".join(str(level) for level in FIRST_LEVELS[family])
        rows.append((family, levels, cell(*FIRST[family]), cell(count["right"], count["total"])))
    text = _paragraph(
        """At the levels that the first was measured at, on other problems. The first knew no recipes and compared days
        without saying with what. What else has changed: numbers start with their sizes in their embeddings, look-ups
        heed what stands further back, drills of single skills come first, families have shares of the tokens and not of
        the problems, one problem in seven of the second half goes beyond full difficulty, later layers start
        with keener attention."""
    )
    return f"{_table(['family', 'levels', 'first', 'this one'], rows)}\n\n{text}"


def _limits(preset: Preset, base: str | None) -> str:
    seen = f"""No problem longer than {preset.longest} tokens was seen in training, and no position beyond
        {preset.max_positions}."""
    rest = "" if base else "Outside its six formats the output is noise."
    return _paragraph(f"Numbers run from 0 to 99. {seen} {rest}")


def _paragraph(text: str) -> str:
    return fill(" ".join(dedent(text).split()), 120, break_long_words=False, break_on_hyphens=False)


def _table(heads: list[str], rows: Iterable[Iterable]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
