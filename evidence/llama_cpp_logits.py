#!/usr/bin/env python3
"""llama_cpp_logits.py MODEL.gguf REF.safetensors OUT.json: llama.cpp on the ids of reference_logits.py.

2 threads, f16 KV cache. Prints perplexity, its ratio to the reference, and how often the likeliest token is the
reference's: over all positions, and over those where the reference's best logit leads by at least 0.1.
"""
import json
import sys
import time

import numpy as np
from safetensors.numpy import load_file

from llama import BATCH, Llama


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, reference, out = sys.argv[1:]
    ref = load_file(reference)
    ids = ref["ids"].tolist()
    llama = Llama(path, context=len(ids))
    logprob, top, seconds = [], [], 0.0
    for at in range(0, len(ids) - 1, BATCH):
        fed = ids[at:min(at + BATCH, len(ids) - 1)]
        start = time.time()
        logits = llama.feed(fed).astype(np.float64)
        seconds += time.time() - start
        high = logits.max(-1)
        total = high + np.log(np.exp(logits - high[:, None]).sum(-1))
        logprob.append(logits[np.arange(len(fed)), ids[at + 1:at + 1 + len(fed)]] - total)
        top.append(logits.argmax(-1))
    logprob, top = np.concatenate(logprob), np.concatenate(top)
    delta, clear = np.abs(logprob - ref["logprob"]), ref["gap"] >= 0.1
    perplexity, same = np.exp(-logprob.mean()), top == ref["top"]
    summary = {
        "perplexity": float(perplexity),
        "ratio": float(perplexity / np.exp(-ref["logprob"].astype(np.float64).mean())),
        "top1": float(same.mean()),
        "top1_clear": float(same[clear].mean()),
        "max_delta": float(delta.max()),
        "mean_delta": float(delta.mean()),
        "tokens_per_second": len(logprob) / seconds,
    }
    with open(out, "w") as file:
        json.dump(summary | {"logprob": logprob.tolist(), "top": top.tolist()}, file)
    print(f"perplexity {summary['perplexity']:.4f}, ratio to the reference {summary['ratio']:.6f}")
    print(f"top-1 {same.sum()} of {len(same)} ({same.mean():.4%}), gap >= 0.1: {same[clear].sum()} of {clear.sum()} ({same[clear].mean():.4%})")
    print(f"|delta log-probability| max {delta.max():.4f}, mean {delta.mean():.5f}; {summary['tokens_per_second']:.1f} tokens/s")


if __name__ == "__main__":
    main()
