"""Starts the first three layers as known circuits, so that look-ups need not be discovered.

From a random start two CPU cores do not get there: after 5M tokens the recall of a span by its key still cost 5 nats a
token, against 0.4 nats at step 0 with this start. What is wired:

- Embeddings. Every token has a constant part, an identity of its own, which words that differ only in case or in the
  space before them share in part, and, if it is a number, its size: so "smaller" has a direction from the first step,
  instead of being inferred from sums.
- Layer 0: three heads that look 1, 2 and 3 tokens back, by the fast pairs of the rotation, and note what stands there,
  with its size; a fourth, by slower pairs, notes some nine tokens around the seventh all at once.
- Layer 1: a head that finds the newest colon and notes what stands before it, over the window: the number of the card,
  room or day that the line is about.
- Layer 2: heads that find the place before which the newest three tokens stand, with the same heading and much the
  same around them, by the slow pairs, and bring what came next there. The same few words stand in several cards, rooms
  and days: which of them is meant, only what is further back can tell.

Everything stays trainable; the other layers, and the other heads of layer 1, start at random.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import Reasoner, frequencies

NEAR = 3  # heads that look at one token each
WINDOW = 7  # tokens back, the middle of what one more head looks at
NOTES = NEAR + 1
CONSTANT, NOTED, IDENTITY, SIZES = 8, 32, 24, 8  # dimensions; a note is an identity and sizes
SCALE, SIZE_SCALE = 0.3, 0.45  # of an embedding's entries; sizes are few and stand out a little
SHARED = 0.3  # part of an identity's variance that variants of a word have in common
LAST = 0.3  # of the last norm, as these embeddings would make logits of several tens
SHARP, KEEN = 2.4, 1.6  # q and k norms of wired and of other layers; scores reach 8 times the square of it
NOTE_GAIN, WINDOW_GAIN, HEADING_GAIN = 0.2, 0.7, 0.3  # what is noted; the mean of nine tokens is shorter than one
BRING_GAIN = 2.2  # what a match brings
MARKED = 4.0  # how far a colon's key outweighs what all keys have in common
PARTS = (11, 6, 5, 8)  # dimensions of a match for each token back, the newest counts most, and for window and heading
WIRED = 3  # layers


@dataclass(frozen=True)
class Stream:
    """How the residual stream is laid out at the start."""

    d_model: int

    @property
    def constant(self) -> slice:
        return slice(0, CONSTANT)

    @property
    def size(self) -> slice:
        return slice(CONSTANT, CONSTANT + len(sizes(0)))

    @property
    def identity(self) -> slice:
        return slice(self.size.stop, self.d_model - NOTES * NOTED)

    @property
    def token(self) -> slice:
        """Size and identity."""
        return slice(self.size.start, self.identity.stop)

    def note(self, place: int) -> slice:
        """Where layer 0 notes the token `place` + 1 places before, or at the last place the window, and layer 1 the
        heading."""
        start = self.identity.stop + place * NOTED
        return slice(start, start + NOTED)


def sizes(number: int) -> list[float]:
    """What a number looks like, each entry of about unit variance over 0 to 99; layer 0 notes the first eight."""
    tens, units = divmod(number, 10)
    plain = [(number - 49.5) / 28.9, (tens - 4.5) / 2.87, (units - 4.5) / 2.87, 1.0 - 2.0 * (number % 2)]
    waves = []
    for period in (10, 20, 50, 100, 5):
        angle = 2 * math.pi * number / period
        waves += [math.sqrt(2) * math.cos(angle), math.sqrt(2) * math.sin(angle)]
    return [*plain, *waves, 1.0]


@torch.no_grad()
def wire(model: Reasoner, numbers: dict[int, int], words: dict[int, str], colon: int, seed: int) -> None:
    """Wires a model with random weights. numbers: token -> its number; words: token -> its text, variants alike;
    colon: the token after a heading."""
    generator = torch.Generator().manual_seed(seed)
    stream = Stream(model.shape.d_model)
    shape = model.shape
    if stream.identity.stop - stream.identity.start < IDENTITY or shape.heads < NOTES or shape.kv_heads < 2:
        raise ValueError(f"too small to be wired: d_model {shape.d_model}, heads {shape.heads} over {shape.kv_heads}")

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    for i, layer in enumerate(model.layers):
        for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
            norm.weight.fill_(SHARP if i < WIRED else KEEN)
    model.norm.weight.fill_(LAST)
    _embed(model, stream, numbers, words, normal)
    width = stream.identity.stop - stream.identity.start
    sketch = normal(IDENTITY, width) / math.sqrt(width)  # of an identity, small enough to be noted
    _look_back(model, stream, sketch)
    _heading(model, stream, colon)
    _match(model, stream, sketch, normal)


def _embed(
    model: Reasoner, stream: Stream, numbers: dict[int, int], words: dict[int, str], normal: Callable[..., Tensor]
) -> None:
    table = model.embed_tokens.weight  # [vocab, d_model]
    width = stream.identity.stop - stream.identity.start
    table.zero_()
    table[:, stream.constant] = SCALE
    table[:, stream.identity] = SCALE * normal(table.size(0), width)
    texts = sorted(set(words.values()))
    common = dict(zip(texts, normal(len(texts), width)))
    for token, text in sorted(words.items()):
        own = table[token, stream.identity] * math.sqrt(1 - SHARED)
        table[token, stream.identity] = own + SCALE * math.sqrt(SHARED) * common[text]
    for token, number in numbers.items():
        table[token, stream.size] = SIZE_SCALE * torch.tensor(sizes(number))


def _look_back(model: Reasoner, stream: Stream, sketch: Tensor) -> None:
    attention, shape = model.layers[0].self_attn, model.shape
    half, group = shape.head_dim // 2, shape.heads // shape.kv_heads
    turn = frequencies(shape).float()
    fast, broad = slice(0, 5), slice(5, 9)  # pairs that tell neighbours apart, and that see a dozen tokens as near
    # Keys are the same everywhere, so after the rotation a score hangs on the distance alone; it is highest where the
    # query's head start is made up for.
    key = torch.zeros(shape.head_dim)
    key[fast], key[broad] = 1.0, 0.7
    attention.o_proj.weight.zero_()
    for place in range(NOTES):
        pairs, back, gain = (fast, place + 1, NOTE_GAIN) if place < NEAR else (broad, WINDOW, WINDOW_GAIN)
        ahead = torch.zeros(2, half)
        ahead[0, pairs], ahead[1, pairs] = torch.cos(turn * back)[pairs], -torch.sin(turn * back)[pairs]
        head = _rows(place, shape.head_dim)
        kv = _rows(place // group, shape.head_dim)
        attention.k_proj.weight[kv] = 0.0
        attention.k_proj.weight[kv, stream.constant] = key[:, None].expand(-1, CONSTANT)
        attention.q_proj.weight[head] = 0.0
        attention.q_proj.weight[head, stream.constant] = ahead.flatten()[:, None].expand(-1, CONSTANT)
        noted = slice(kv.start, kv.start + NOTED)
        attention.v_proj.weight[noted] = 0.0
        attention.v_proj.weight[kv.start : kv.start + IDENTITY, stream.identity] = sketch
        first = slice(stream.size.start, stream.size.start + SIZES)
        attention.v_proj.weight[kv.start + IDENTITY : noted.stop, first] = torch.eye(SIZES)
        attention.o_proj.weight[stream.note(place), head.start : head.start + NOTED] = gain * torch.eye(NOTED)


def _heading(model: Reasoner, stream: Stream, colon: int) -> None:
    """What stands before the newest colon, noted by the first head of the last group. The other heads of the layer
    write nothing yet."""
    attention, shape = model.layers[1].self_attn, model.shape
    half, group = shape.head_dim // 2, shape.heads // shape.kv_heads
    last = shape.kv_heads - 1
    kv, head = _rows(last, shape.head_dim), _rows(last * group, shape.head_dim)
    # Pairs that turn slowly, each at its own pace: a score falls with the distance, so the nearest colon wins.
    slow, idle = slice(7 * half // 32, 14 * half // 32), slice(0, 7 * half // 32)
    own = model.embed_tokens.weight[colon, stream.identity]
    key = torch.zeros(shape.head_dim, shape.d_model)
    key[slow, stream.identity] = MARKED * own / own.square().sum()
    # What all keys have in common, in pairs that queries do not look at: a key that is nothing else scores nothing.
    key[idle, stream.constant] = 1 / (SCALE * CONSTANT)
    query = torch.zeros(shape.head_dim, shape.d_model)
    query[slow, stream.constant] = 1.0
    attention.k_proj.weight[kv], attention.q_proj.weight[head] = key, query
    attention.v_proj.weight[kv] = 0.0
    attention.v_proj.weight[kv.start : kv.start + NOTED, stream.note(0)] = torch.eye(NOTED)
    attention.o_proj.weight.zero_()  # what the other heads would write at random would blur what is compared
    attention.o_proj.weight[stream.note(NOTES - 1), head.start : head.start + NOTED] = HEADING_GAIN * torch.eye(NOTED)


def _match(model: Reasoner, stream: Stream, sketch: Tensor, normal: Callable[..., Tensor]) -> None:
    attention, shape = model.layers[2].self_attn, model.shape
    half, group = shape.head_dim // 2, shape.heads // shape.kv_heads
    # Pairs that hardly turn over the length of a problem, so that a match counts at any distance.
    slow = torch.tensor([*range(half - sum(PARTS) // 2, half), *range(2 * half - sum(PARTS) // 2, 2 * half)])
    token = stream.token.stop - stream.token.start
    for kv in range(shape.kv_heads):
        part = slow[torch.argsort(normal(len(slow)))].split(PARTS)
        compare = [2.0 * normal(size, IDENTITY) / math.sqrt(IDENTITY) for size in PARTS]
        keys = torch.zeros(shape.head_dim, shape.d_model)
        queries = torch.zeros(shape.head_dim, shape.d_model)
        for place in range(NOTES):
            keys[part[place], _sketch(stream, place)] = compare[place]
            if place == 0:
                queries[part[place], stream.identity] = compare[place] @ sketch
            else:
                # What is one token back here is two back from the token that comes next; a window is much the same.
                noted = place - 1 if place < NEAR else place
                queries[part[place], _sketch(stream, noted)] = compare[place]
        bring = normal(shape.head_dim, token) / math.sqrt(token)
        attention.k_proj.weight[_rows(kv, shape.head_dim)] = keys
        attention.v_proj.weight[_rows(kv, shape.head_dim)] = 0.0
        attention.v_proj.weight[_rows(kv, shape.head_dim), stream.token] = bring
        for head in range(kv * group, (kv + 1) * group):
            attention.q_proj.weight[_rows(head, shape.head_dim)] = queries
            attention.o_proj.weight[:, _rows(head, shape.head_dim)] = 0.0
            attention.o_proj.weight[stream.token, _rows(head, shape.head_dim)] = BRING_GAIN / shape.heads * bring.T


def _rows(head: int, head_dim: int) -> slice:
    return slice(head * head_dim, (head + 1) * head_dim)


def _sketch(stream: Stream, place: int) -> slice:
    """The identity in a note."""
    start = stream.note(place).start
    return slice(start, start + IDENTITY)
