#!/usr/bin/env python3
"""reference_tokens.py MODEL.gguf CORPUS.jsonl OUT.jsonl: token ids of every line by three tokenizers, none adding special tokens.

llama_cpp      llama.cpp on the file, special tokens recognised
transformers   transformers on the file
published      the tokenizers package, the file's vocabulary in the pipeline of the model's published tokenizer.json

Writes {"text", "llama_cpp", "transformers", "published"} a line; prints how often they agree, and why where they do not.
"""
import collections
import json
import sys
import unicodedata

from transformers.convert_slow_tokenizer import bytes_to_unicode

from llama import Llama
from model_file import published_tokenizer, transformers_tokenizer

# llama.cpp makes this one a control token whatever type the file gives it.
TAKEN_FOR_CONTROL = {"</s>"}


def reason(text, left, right, added, known):
    """Why two tokenizers differ on a text: the change to the text that makes them agree."""
    def plain():
        nonlocal text
        for token in added:
            text = text.replace(token, " ")
        return text

    def of_class(kind, instead):
        return "".join(instead if unicodedata.category(c)[0] == kind else c for c in text)

    changes = {
        "normal form: equal after NFC": unicodedata.normalize("NFC", text),
        "numbers: equal with letters in their place": of_class("N", "x"),
        "bytes without a token: equal without them": "".join(c for c in text if known.issuperset(c.encode())),
        "combining marks: equal without them": of_class("M", ""),
        "special tokens: equal without them": plain(),
    }
    return next((name for name, changed in changes.items() if left(changed) == right(changed)), "other")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, corpus, out = sys.argv[1:]
    texts = [json.loads(line) for line in open(corpus)]
    llama, converted, published = Llama(path), transformers_tokenizer(path), published_tokenizer(path)
    encoders = {
        "llama_cpp": llama.tokenize,
        "transformers": lambda text: converted(text, add_special_tokens=False)["input_ids"],
        "published": lambda text: published.encode(text, add_special_tokens=False).ids,
    }
    rows = [{"text": text} | {name: encode(text) for name, encode in encoders.items()} for text in texts]
    with open(out, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    special = {token.content for token in published.get_added_tokens_decoder().values()} | TAKEN_FOR_CONTROL
    added = sorted(special, key=len, reverse=True)
    known = {byte for byte, spelling in bytes_to_unicode().items() if published.token_to_id(spelling) is not None}
    print(f"{out}: {len(rows)} lines, {sum(len(row['llama_cpp']) for row in rows)} tokens, "
          f"{256 - len(known)} bytes without a token")
    for a, b in [("llama_cpp", "transformers"), ("llama_cpp", "published"), ("transformers", "published")]:
        differing = [row for row in rows if row[a] != row[b]]
        print(f"\n{a} = {b}: {len(rows) - len(differing)} of {len(rows)}")
        reasons = collections.defaultdict(list)
        for row in differing:
            reasons[reason(row["text"], encoders[a], encoders[b], added, known)].append(row)
        for name, same in sorted(reasons.items(), key=lambda item: -len(item[1])):
            print(f"  {len(same):4} {name}")
            for row in sorted(same, key=lambda row: len(row["text"]))[:3]:
                print(f"       {ascii(row['text'])[:100]}: {row[a][:12]} and {row[b][:12]}")


if __name__ == "__main__":
    main()
