"""The model against `transformers`, with a cache and without."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from reasoner.generate import generate
from reasoner.model import Cache, Reasoner, Shape
from reasoner.muon import orthogonal

SHAPE = Shape(vocab=96, layers=3, d_model=64, d_ff=80, heads=4, kv_heads=2, head_dim=32, max_positions=512)


@pytest.fixture
def model() -> Reasoner:
    model = Reasoner(SHAPE).eval()
    model.start(1)
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5, generator=torch.Generator().manual_seed(2))
        elif "embed" in name:
            weight.data *= 20
    return model


def test_logits_are_those_of_transformers(model: Reasoner) -> None:
    config = Qwen3Config(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        rms_norm_eps=SHAPE.eps,
        rope_theta=SHAPE.rope_theta,
        tie_word_embeddings=True,
        max_position_embeddings=512,
    )
    reference = Qwen3ForCausalLM(config).eval()
    weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    reference.load_state_dict(weights | {"lm_head.weight": model.embed_tokens.weight})
    ids = torch.randint(96, (2, 200), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ours, theirs = model.logits(model(ids)), reference(ids).logits
    assert theirs.std() > 0.5
    assert (ours - theirs).abs().max() < 1e-4


def test_a_cache_changes_nothing(model: Reasoner) -> None:
    ids = torch.randint(96, (3, 40), generator=torch.Generator().manual_seed(4))
    positions = torch.arange(40).expand(3, -1)
    cache = Cache(SHAPE, 3, 64, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        whole = model(ids)
        first = model(ids[:, :30], positions[:, :30], cache)
        rest = [model(ids[:, i : i + 1], positions[:, i : i + 1], cache) for i in range(30, 40)]
    assert torch.allclose(torch.cat([first, *rest], 1), whole, atol=1e-4)


def test_many_prompts_at_once_are_answered_as_one_by_one(model: Reasoner) -> None:
    generator = torch.Generator().manual_seed(5)
    prompts = [torch.randint(96, (n,), generator=generator).tolist() for n in (3, 20, 11, 7)]
    limits, ends = [30, 12, 40, 25], {7, 8, 9}
    replies = generate(model, prompts, limits, ends)
    for prompt, limit, reply in zip(prompts, limits, replies):
        ids = list(prompt)
        with torch.no_grad():
            while len(ids) < len(prompt) + limit and not (len(ids) > len(prompt) and ids[-1] in ends):
                ids.append(int(model.logits(model(torch.tensor(ids)[None])[0, -1]).argmax()))
        assert reply == ids[len(prompt) :]


def test_prompts_beyond_the_positions_are_refused(model: Reasoner) -> None:
    with pytest.raises(ValueError, match="513 positions"):
        generate(model, [[1, 2, 3]], [510], {0})


@pytest.mark.parametrize("rows, columns", [(20, 50), (50, 20), (32, 32)])
def test_updates_of_muon_are_nearly_orthogonal(rows: int, columns: int) -> None:
    x = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(6))
    values = torch.linalg.svdvals(orthogonal(x))
    assert values.min() > 0.3 and values.max() < 1.3
