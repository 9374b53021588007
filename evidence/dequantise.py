#!/usr/bin/env python3
"""dequantise.py MODEL.gguf FOLDER OUT: the weights of a qwen2 or qwen3 file, dequantised by the gguf package, as a folder.

FOLDER is the Hugging Face folder that `lethe quantize` made the file from; its config and tokenizer are copied. For files
whose shapes transformers' own conversion does not read: it takes 128 for the size of every qwen3 head.
"""
import pathlib
import shutil
import sys

import gguf
import torch
from safetensors.torch import save_file

PARTS = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
WHOLE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}


def published(name):
    if name in WHOLE:
        return WHOLE[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{PARTS[part]}.{kind}"


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, folder, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.json"):
        shutil.copy(file, out / file.name)
    weights = {published(t.name): torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).copy()).contiguous()
               for t in gguf.GGUFReader(path).tensors}
    save_file(weights, out / "model.safetensors")


if __name__ == "__main__":
    main()
