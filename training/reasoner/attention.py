"""How the layers look at what is before them: sink mass and sparsity."""

import torch

from .model import Reasoner

SINKS = 4  # tokens
LEAST = 32  # places that a query sees, to count: short rows look alike


@torch.inference_mode()
def layers(model: Reasoner, conversations: list[list[int]]) -> list[dict[str, float]]:
    """For each layer, over heads and queries of the conversations: the mass on the first four tokens, and Hoyer's
    sparsity of the weights, `(sqrt(n) - |w|_1 / |w|_2) / (sqrt(n) - 1)`."""
    sums = torch.zeros(model.shape.layers, 2)
    for ids in conversations:
        tokens = torch.tensor(ids)[None]
        rope = model.rope(tokens, None)
        seen = torch.arange(1, len(ids) + 1)[LEAST:].sqrt()  # [queries], of how many places
        x = model.embed_tokens(tokens)
        for i, layer in enumerate(model.layers):
            q, k, _ = layer.self_attn.split(layer.input_layernorm(x), rope)
            k = k.repeat_interleave(model.shape.heads // model.shape.kv_heads, 1)
            scores = (q @ k.mT)[0] * model.shape.head_dim**-0.5  # [heads, queries, keys]
            hidden = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
            weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)[:, LEAST:]
            hoyer = (seen - 1 / weights.norm(dim=-1)) / (seen - 1)  # [heads, queries]
            sums[i] += torch.stack([weights[..., :SINKS].sum(-1).mean(), hoyer.mean()]) / len(conversations)
            x = layer(x, rope)
    return [{"sink_mass": round(sink, 4), "hoyer": round(sparse, 4)} for sink, sparse in sums.tolist()]
