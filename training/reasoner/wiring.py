"""Starts the first two layers as known circuits, so that look-ups need not be discovered.

From a random start two CPU cores do not get there: after 5M tokens the recall of a span by its key still cost 5 nats a
token, against 0.4 nats at step 0 with this start. What is wired:

- Embeddings. Every token has a constant part, an identity of its own, which words that differ only in case or in the
  space before them share in part, and, if it is a number, its size: so "smaller" has a direction from the first step,
  instead of being inferred from sums.
- Layer 0: four heads that look 1, 2, 3 and 4 tokens back, by the fast pairs of the rotation, and note what stands
  there, with its size.
- Layer 1: heads that find the place whose last four tokens are the newest four, by the slow pairs, and bring what came
  next there.

Everything stays trainable, and the other layers start at random.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import Reasoner, frequencies

BACK = 4  # heads that look back, and tokens that a match compares
CONSTANT, NOTED, IDENTITY, SIZES = 8, 32, 24, 8  # dimensions; a note is an identity and sizes
SCALE, SIZE_SCALE = 0.3, 0.45  # of an embedding's entries; sizes are few and stand out a little
SHARED = 0.3  # part of an identity's variance that variants of a word have in common
LAST = 0.3  # of the last norm, as these embeddings would make logits of several tens
SHARP, KEEN = 2.4, 1.6  # q and k norms of wired and of other layers; scores reach 8 times the square of it
PARTS = (12, 8, 6, 4)  # dimensions of a match for each token back: the newest counts most


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
        return slice(self.size.stop, self.d_model - BACK * NOTED)

    @property
    def token(self) -> slice:
        """Size and identity."""
        return slice(self.size.start, self.identity.stop)

    def note(self, back: int) -> slice:
        """Where layer 0 notes the token `back` + 1 places before."""
        start = self.identity.stop + back * NOTED
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
def wire(model: Reasoner, numbers: dict[int, int], words: dict[int, str], seed: int) -> None:
    """Wires a model with random weights. numbers: token -> its number; words: token -> its text, variants alike."""
    generator = torch.Generator().manual_seed(seed)
    stream = Stream(model.shape.d_model)
    if stream.identity.stop - stream.identity.start < IDENTITY or model.shape.heads < BACK:
        raise ValueError(f"too small to be wired: d_model {model.shape.d_model}, heads {model.shape.heads}")

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    for i, layer in enumerate(model.layers):
        for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
            norm.weight.fill_(SHARP if i < 2 else KEEN)
    model.norm.weight.fill_(LAST)
    _embed(model, stream, numbers, words, normal)
    width = stream.identity.stop - stream.identity.start
    sketch = normal(IDENTITY, width) / math.sqrt(width)  # of an identity, small enough to be noted
    _look_back(model, stream, sketch)
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
    aim = torch.zeros(shape.head_dim)
    aim[:5] = 1.0  # the pairs that turn fast enough to tell neighbours apart
    turn = frequencies(shape).float()
    attention.o_proj.weight.zero_()
    for back in range(BACK):
        head = _rows(back, shape.head_dim)
        kv = _rows(back // group, shape.head_dim)
        # Keys are the same everywhere, so after the rotation a score hangs on the distance alone; it is highest where
        # the query's head start, back + 1 positions, is made up for.
        cos, sin = torch.cos(-turn * (back + 1)), torch.sin(-turn * (back + 1))
        ahead = torch.cat((aim[:half] * cos - aim[half:] * sin, aim[half:] * cos + aim[:half] * sin))
        attention.k_proj.weight[kv] = 0.0
        attention.k_proj.weight[kv, stream.constant] = aim[:, None].expand(-1, CONSTANT)
        attention.q_proj.weight[head] = 0.0
        attention.q_proj.weight[head, stream.constant] = ahead[:, None].expand(-1, CONSTANT)
        noted = slice(kv.start, kv.start + NOTED)
        attention.v_proj.weight[noted] = 0.0
        attention.v_proj.weight[kv.start : kv.start + IDENTITY, stream.identity] = sketch
        first = slice(stream.size.start, stream.size.start + SIZES)
        attention.v_proj.weight[kv.start + IDENTITY : noted.stop, first] = torch.eye(SIZES)
        attention.o_proj.weight[stream.note(back), head.start : head.start + NOTED] = 0.2 * torch.eye(NOTED)


def _match(model: Reasoner, stream: Stream, sketch: Tensor, normal: Callable[..., Tensor]) -> None:
    attention, shape = model.layers[1].self_attn, model.shape
    half, group = shape.head_dim // 2, shape.heads // shape.kv_heads
    # Pairs that hardly turn over the length of a problem, so that a match counts at any distance.
    slow = torch.tensor([*range(half - sum(PARTS) // 2, half), *range(2 * half - sum(PARTS) // 2, 2 * half)])
    token = stream.token.stop - stream.token.start
    for kv in range(shape.kv_heads):
        place = slow[torch.argsort(normal(len(slow)))].split(PARTS)
        compare = [2.0 * normal(size, IDENTITY) / math.sqrt(IDENTITY) for size in PARTS]
        keys = torch.zeros(shape.head_dim, shape.d_model)
        queries = torch.zeros(shape.head_dim, shape.d_model)
        for back in range(BACK):
            keys[place[back], _sketch(stream, back)] = compare[back]
            if back == 0:
                queries[place[back], stream.identity] = compare[back] @ sketch
            else:
                queries[place[back], _sketch(stream, back - 1)] = compare[back]
        bring = normal(shape.head_dim, token) / math.sqrt(token)
        attention.k_proj.weight[_rows(kv, shape.head_dim)] = keys
        attention.v_proj.weight[_rows(kv, shape.head_dim)] = 0.0
        attention.v_proj.weight[_rows(kv, shape.head_dim), stream.token] = bring
        for head in range(kv * group, (kv + 1) * group):
            attention.q_proj.weight[_rows(head, shape.head_dim)] = queries
            attention.o_proj.weight[:, _rows(head, shape.head_dim)] = 0.0
            attention.o_proj.weight[stream.token, _rows(head, shape.head_dim)] = 1.4 / shape.heads * bring.T


def _rows(head: int, head_dim: int) -> slice:
    return slice(head * head_dim, (head + 1) * head_dim)


def _sketch(stream: Stream, back: int) -> slice:
    """The identity in a note."""
    start = stream.note(back).start
    return slice(start, start + IDENTITY)
