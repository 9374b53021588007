"""Writes a model as a Hugging Face folder, as `transformers` and Lethe read it."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from .model import Reasoner

TEMPLATE = (
    "{% for m in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n<|im_start|>assistant\n' }}{% endif %}"
)


def export(model: Reasoner, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights in float16; everything else as JSON. The chat template is the text of the problems."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": weight.half().contiguous() for name, weight in model.state_dict().items()}
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise ValueError(f"not finite in float16: {', '.join(broken)}")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # which are written for their owner alone
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = model.shape
    end, nothing = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    config = {
        "architectures": ["Qwen3ForCausalLM" if shape.qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if shape.qk_norm else "llama",
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "rms_norm_eps": shape.eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": None,
        "max_position_embeddings": shape.max_positions,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": nothing,
        "eos_token_id": end,
        "torch_dtype": "float16",
        "use_cache": True,
    }
    if shape.qk_norm:
        config |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": shape.layers}
    _write(folder / "config.json", config)
    _write(
        folder / "generation_config.json",
        {"eos_token_id": [end, nothing], "bos_token_id": nothing, "do_sample": False},
    )
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "bos_token": None,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": shape.max_positions,
            "chat_template": TEMPLATE,
        },
    )


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
