#!/usr/bin/env python3
"""reference_logits.py MODEL TEXT N OUT.safetensors: what transformers makes of the first N tokens of a text, each given those before it.

MODEL is a GGUF file, whose weights are dequantised, or a Hugging Face folder. Everything is computed in float32 on the
CPU, in pieces with a KV cache, since all logits at once would not fit.

    ids      [N + 1]  the first N are fed
    logprob  [N]      log-probability of ids[i + 1] after ids[..= i]
    top      [N]      the likeliest token there
    gap      [N]      logit of the likeliest less that of the second
"""
import math
import os
import sys
import time

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

PIECE = 256


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    path, text, count, out = sys.argv[1:]
    place = (path, {}) if os.path.isdir(path) else (os.path.dirname(path) or ".", {"gguf_file": os.path.basename(path)})
    tokenizer = AutoTokenizer.from_pretrained(place[0], **place[1])
    model = AutoModelForCausalLM.from_pretrained(place[0], dtype=torch.float32, **place[1]).eval()
    ids = tokenizer(open(text).read(), add_special_tokens=False)["input_ids"][:int(count) + 1]
    if len(ids) != int(count) + 1:
        sys.exit(f"{text}: only {len(ids)} tokens")
    ids = torch.tensor(ids)
    cache, columns, start = DynamicCache(config=model.config), [], time.time()
    with torch.inference_mode():
        for piece in ids[:-1].split(PIECE):
            fed = cache.get_seq_length()
            logits = model(piece[None], past_key_values=cache).logits[0].double()
            targets = ids[fed + 1:fed + 1 + len(piece)]
            best = logits.topk(2).values
            columns.append((logits.log_softmax(-1).gather(1, targets[:, None])[:, 0], logits.argmax(-1), best[:, 0] - best[:, 1]))
            print(f"{fed + len(piece)} tokens, {time.time() - start:.0f} s", file=sys.stderr)
    logprob, top, gap = map(torch.cat, zip(*columns))
    perplexity = math.exp(-logprob.mean())
    tensors = {"ids": ids.int(), "logprob": logprob.float(), "top": top.int(), "gap": gap.float()}
    save_file(tensors, out, {"model": os.path.basename(path), "perplexity": f"{perplexity:.6f}"})
    c = model.config
    print(f"{out}: {count} tokens, perplexity {perplexity:.4f}, gap below 0.1 at {int((gap < 0.1).sum())} positions; "
          f"tied {c.tie_word_embeddings}, rope {c.rope_parameters}, eps {c.rms_norm_eps}")


if __name__ == "__main__":
    main()
