"""What the other scripts read from a GGUF file besides its weights: metadata, tokenizer, chat template."""
import os

import gguf
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

CONTROL, USER_DEFINED = 3, 4

# Normaliser and pre-tokenizer of the tokenizer.json that the model's authors publish, by tokenizer.ggml.pre.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PUBLISHED = {
    "smollm": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                              pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "qwen2": (normalizers.NFC(), pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                                          pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
}


def metadata(path):
    """All key-value pairs of the file."""
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


def transformers_tokenizer(path):
    """The tokenizer as transformers converts it from the file."""
    return AutoTokenizer.from_pretrained(os.path.dirname(path) or ".", gguf_file=os.path.basename(path))


def published_tokenizer(path):
    """The file's vocabulary and merges in the pipeline that the model's authors published."""
    json = metadata(path).get("tokenizer.huggingface.json")
    if json:  # a whole tokenizer.json is in the file
        return tokenizers.Tokenizer.from_str(json)
    meta = metadata(path)
    tokens, merges = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.merges"]
    bpe = models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges])
    tokenizer = tokenizers.Tokenizer(bpe)
    normalizer, tokenizer.pre_tokenizer = PUBLISHED[meta["tokenizer.ggml.pre"]]
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, meta["tokenizer.ggml.token_type"]):
        if kind in (CONTROL, USER_DEFINED):
            tokenizer.add_tokens([AddedToken(token, special=kind == CONTROL, normalized=False)])
    return tokenizer


def chat_tokenizer(path):
    """A tokenizer that can only render chats: the template of the file, its beginning and end tokens."""
    meta = metadata(path)
    tokens = meta["tokenizer.ggml.tokens"]
    special = {f"{name}_token": tokens[meta[f"tokenizer.ggml.{name}_token_id"]]
               for name in ("bos", "eos") if f"tokenizer.ggml.{name}_token_id" in meta}
    empty = tokenizers.Tokenizer(models.BPE())
    return PreTrainedTokenizerFast(tokenizer_object=empty, chat_template=meta["tokenizer.chat_template"], **special)
