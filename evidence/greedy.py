#!/usr/bin/env python3
"""greedy.py MODEL.gguf PROMPTS.json OUT.jsonl [N]: llama.cpp's greedy continuations, up to N tokens each (64).

PROMPTS.json is a list; a prompt is a list of token ids, fed exactly as they are, or a text, tokenised without added
tokens. Nothing but the largest logit decides: no temperature, no penalties. Writes {"ids", "new_ids", "text"} a line.
"""
import json
import sys
import time

from llama import Llama


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    path, prompts, out = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 64
    vocab = Llama(path)
    prompts = [vocab.tokenize(p) if isinstance(p, str) else p for p in json.load(open(prompts))]
    llama = Llama(path, context=max(map(len, prompts)) + count)
    tokens, start = 0, time.time()
    with open(out, "w") as file:
        for ids in prompts:
            new = llama.greedy(ids, count)
            tokens += len(new)
            file.write(json.dumps({"ids": ids, "new_ids": new, "text": llama.text(new)}) + "\n")
    print(f"{out}: {len(prompts)} prompts, {tokens} new tokens, {tokens / (time.time() - start):.1f} tokens/s, prompts included")


if __name__ == "__main__":
    main()
