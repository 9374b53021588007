"""A model that is there already, to be taught the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers
from torch import Tensor

from .model import Shape
from .tokenizer import MARKS


@dataclass(frozen=True)
class Base:
    """Where a run starts from, instead of from wired weights."""

    name: str
    shape: Shape
    tokenizer: Tokenizer
    weights: dict[str, Tensor]  # by the names of `Reasoner`


def load(path: Path, max_positions: int) -> Base:
    """Reads a Hugging Face folder, or a GGUF file, whose weights are dequantised. What `Reasoner` does not compute is
    refused."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not path.exists():
        raise FileNotFoundError(f"{path}: a folder of a model, or a GGUF file, is wanted")
    place = {"pretrained_model_name_or_path": path}
    if path.is_file():
        place = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    try:
        loaded, said = AutoModelForCausalLM.from_pretrained(**place, dtype="float32", output_loading_info=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    config = loaded.config
    if config.model_type not in ("llama", "qwen3"):
        raise ValueError(f"{path}: cannot be taught: its architecture is {config.model_type}, not llama or qwen3")
    if missing := sorted(set(said["missing_keys"]) - {"lm_head.weight"}):
        raise ValueError(f"{path}: {len(missing)} weights are missing, {missing[0]} first")
    rope = config.rope_parameters
    refused = {
        "output embeddings of their own": not config.tie_word_embeddings,
        "biases in attention": config.attention_bias,
        "biases in SwiGLU": getattr(config, "mlp_bias", False),
        f"activation {config.hidden_act}": config.hidden_act != "silu",
        "a sliding window": getattr(config, "use_sliding_window", False),
        f"rotation of type {rope['rope_type']}": rope["rope_type"] != "default",
        f"only {config.max_position_embeddings} positions": config.max_position_embeddings < max_positions,
    }
    if any(refused.values()):
        raise ValueError(f"{path}: cannot be taught: {', '.join(what for what, so in refused.items() if so)}")
    tokenizer = AutoTokenizer.from_pretrained(**place).backend_tokenizer
    if path.is_file():
        _digits_apart(tokenizer, path)
    missing = [mark for mark in MARKS[:3] if tokenizer.token_to_id(mark) is None]
    if missing:
        raise ValueError(f"{path}: its vocabulary has no {', '.join(missing)}")
    shape = Shape(
        vocab=config.vocab_size,
        layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        d_ff=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        rope_theta=rope["rope_theta"],
        max_positions=max_positions,
        qk_norm=config.model_type == "qwen3",
        eps=config.rms_norm_eps,
    )
    weights = {
        name.removeprefix("model."): weight for name, weight in loaded.state_dict().items() if "lm_head" not in name
    }
    return Base(path.stem if path.is_file() else path.resolve().name, shape, tokenizer, weights)


def _digits_apart(tokenizer: Tokenizer, path: Path) -> None:
    """`transformers` does not read from a GGUF file that SmolLM's tokenizer takes digits apart first."""
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    if field and field.contents() == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
