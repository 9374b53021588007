"""The model: a decoder of the Qwen3 architecture, with the parameter names of its Hugging Face checkpoints.

Without norms on queries and keys it is one of the Llama architecture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """What a model's matrices measure."""

    vocab: int
    layers: int
    d_model: int
    d_ff: int
    heads: int
    kv_heads: int
    head_dim: int = 64
    rope_theta: float = 1e6
    max_positions: int = 4096
    qk_norm: bool = True
    eps: float = 1e-6


class Cache:
    """Keys and values of every layer; the slot of a token is its position."""

    def __init__(self, shape: Shape, batch: int, capacity: int, device: torch.device, dtype: torch.dtype) -> None:
        size = (shape.layers, batch, shape.kv_heads, capacity, shape.head_dim)
        self.keys = torch.zeros(size, device=device, dtype=dtype)
        self.values = torch.zeros(size, device=device, dtype=dtype)

    def keep(self, rows: Tensor) -> None:
        """Leaves only some rows of the batch. rows: [kept]."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]


class Norm(nn.Module):
    """RMS norm."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.size(-1),), self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Grouped-query attention with norms on queries and keys before the rotation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.d_model, queries, bias=False)
        self.k_proj = nn.Linear(shape.d_model, keys, bias=False)
        self.v_proj = nn.Linear(shape.d_model, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.d_model, bias=False)
        norm = partial(Norm, shape.head_dim, shape.eps) if shape.qk_norm else nn.Identity
        self.q_norm, self.k_norm = norm(), norm()

    def split(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """x: [batch, tokens, d_model] -> rotated queries [batch, heads, tokens, head_dim], rotated keys and values
        [batch, kv_heads, tokens, head_dim]."""
        batch, tokens, _ = x.shape
        q, k, v = (
            project(x).view(batch, tokens, -1, self.shape.head_dim)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k, v = self.q_norm(q).transpose(1, 2), self.k_norm(k).transpose(1, 2), v.transpose(1, 2)
        return rotate(q, *rope), rotate(k, *rope), v

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        """Every token sees itself and those before it. x: [batch, tokens, d_model] -> the same."""
        q, k, v = self.split(x, rope)
        group = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))

    def extend(self, x: Tensor, rope: tuple[Tensor, Tensor], positions: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """`forward` of new tokens, which see what the cache has up to their positions.
        positions: [batch, tokens]; keys, values: [batch, kv_heads, capacity, head_dim], written to."""
        q, k, v = self.split(x, rope)
        batch, _, tokens, _ = q.shape
        rows = torch.arange(batch, device=x.device)[:, None]
        keys[rows, :, positions] = k.transpose(1, 2)
        values[rows, :, positions] = v.transpose(1, 2)
        held = int(positions.max()) + 1
        # The heads of a group stand as so many more tokens: nothing of the cache is copied.
        group = self.shape.heads // self.shape.kv_heads
        q = q.reshape(batch, self.shape.kv_heads, group * tokens, -1)
        seen = torch.arange(held, device=x.device) <= positions[:, :, None]  # [batch, tokens, held]
        mask = seen.repeat(1, group, 1)[:, None]
        y = F.scaled_dot_product_attention(q, keys[:, :, :held], values[:, :, :held], attn_mask=mask)
        y = y.reshape(batch, self.shape.heads, tokens, -1)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.d_model, shape.d_ff, bias=False)
        self.up_proj = nn.Linear(shape.d_model, shape.d_ff, bias=False)
        self.down_proj = nn.Linear(shape.d_ff, shape.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and SwiGLU, each normed before and added after."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(shape.d_model, shape.eps), Attention(shape)
        self.post_attention_layernorm, self.mlp = Norm(shape.d_model, shape.eps), FeedForward(shape)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope)
        return x + self.mlp(self.post_attention_layernorm(x))

    def extend(self, x: Tensor, *cached: Tensor) -> Tensor:
        x = x + self.self_attn.extend(self.input_layernorm(x), *cached)
        return x + self.mlp(self.post_attention_layernorm(x))


class Reasoner(nn.Module):
    """The whole decoder. Input and output embeddings are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab, shape.d_model)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.d_model, shape.eps)
        angles = torch.outer(torch.arange(shape.max_positions).double(), frequencies(shape))
        self.register_buffer("cos", angles.cos().float(), persistent=False)  # [max_positions, head_dim / 2]
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def start(self, seed: int) -> None:
        """Random weights; what writes to the residual stream starts small."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if "embed" in name:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif parameter.dim() == 2:
                gain = 0.3 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.7
                nn.init.normal_(parameter, std=gain * parameter.size(1) ** -0.5, generator=generator)

    def forward(self, ids: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """ids: [batch, tokens] -> the stream after the last norm [batch, tokens, d_model].
        positions: [batch, tokens], counted from 0 if absent; a cache, which is extended, needs them."""
        rope = self.rope(ids, positions)
        x = self.embed_tokens(ids)
        for i, layer in enumerate(self.layers):
            if cache is None:
                x = layer(x, rope)
            else:
                x = layer.extend(x, rope, positions, cache.keys[i], cache.values[i])
        return self.norm(x)

    def rope(self, ids: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the positions, [1 or batch, 1, tokens, head_dim / 2]."""
        if positions is None:
            positions = torch.arange(ids.size(1), device=ids.device)[None]
        return self.cos[positions][:, None], self.sin[positions][:, None]

    def logits(self, stream: Tensor) -> Tensor:
        """stream: [..., d_model] -> [..., vocab], float32, whatever the precision of the rest."""
        with torch.autocast(stream.device.type, enabled=False):
            return F.linear(stream.float(), self.embed_tokens.weight.float())


def frequencies(shape: Shape) -> Tensor:
    """Radians a position by which each pair of a head turns, [head_dim / 2], fastest first."""
    half = shape.head_dim // 2
    return shape.rope_theta ** (-torch.arange(half).double() / half)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, in float32; a pair is a dimension and the one half a head after it. x: [..., tokens, head_dim]."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)
