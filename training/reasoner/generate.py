"""Greedy decoding of many prompts at once."""

import torch

from .model import Cache, Reasoner

SHRINK = 0.5  # the batch is cut down to the rows still going when there are so few of them


@torch.inference_mode()
def generate(model: Reasoner, prompts: list[list[int]], limits: list[int], ends: set[int]) -> list[list[int]]:
    """The reply to each prompt, its end token included; at most `limits` tokens each."""
    device = model.embed_tokens.weight.device
    lengths = [len(prompt) for prompt in prompts]
    room = max(length + limit for length, limit in zip(lengths, limits))
    if room > model.shape.max_positions:
        raise ValueError(f"prompt and reply want {room} positions, the model has {model.shape.max_positions}")
    cache = Cache(model.shape, len(prompts), room, device, model.embed_tokens.weight.dtype)
    ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
    # Slots behind a shorter prompt hold padding until its reply overwrites them; nobody looks at them before.
    positions = torch.arange(ids.size(1), device=device).expand_as(ids)
    at = torch.tensor(lengths, device=device)  # [rows], the position of the next token
    stream = model(ids, positions, cache)[torch.arange(len(prompts), device=device), at - 1]  # [rows, d_model]
    replies: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))  # the prompt of each row
    while True:
        chosen = model.logits(stream).argmax(-1)  # [rows]
        done = []
        for row, (prompt, token) in enumerate(zip(going, chosen.tolist())):
            if prompt >= 0:
                replies[prompt].append(token)
                if token in ends or len(replies[prompt]) == limits[prompt]:
                    done.append(row)
        for row in done:
            going[row] = -1
        live = [row for row, prompt in enumerate(going) if prompt >= 0]
        if not live:
            return replies
        if len(live) <= SHRINK * len(going):
            rows = torch.tensor(live, device=device)
            cache.keep(rows)
            chosen, at, going = chosen[rows], at[rows], [going[row] for row in live]
        stream = model(chosen[:, None], at[:, None], cache)[:, 0]
        at = (at + 1).clamp(max=room - 1)  # rows that have ended stay within the cache
