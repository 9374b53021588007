"""Writes everything under tests/fixtures that another implementation has to vouch for:

models/NAME/      tiny random models of every family and RoPE type, with the logits transformers computes in float32
templates.json    chat prompts rendered by transformers from templates/*.jinja
tokenizers/*      small tokenizers, and tokenizers.json with ids and texts from the tokenizers package

Needs torch, transformers 5 and tokenizers. Run in this directory: python make_goldens.py
"""
import datetime
import json
import pathlib
import shutil

import tokenizers
import torch
import transformers.utils.chat_template_utils as chat_template_utils
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedTokenizerFast, Qwen2Config,
                          Qwen3Config)

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
N_TOKENS = 64

# ---------------------------------------------------------------------------------------------------------- models

BASE = dict(vocab_size=101, hidden_size=48, intermediate_size=80, num_hidden_layers=2, max_position_embeddings=256,
            rms_norm_eps=1e-5, bos_token_id=97, eos_token_id=98, initializer_range=0.2)
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}


def heads(n_heads, n_kv_heads, **rest):
    return dict(BASE, num_attention_heads=n_heads, num_key_value_heads=n_kv_heads, **rest)


# name: (config, weights, old layout of the RoPE keys or None, largest shard)
MODELS = {
    "llama_default": (LlamaConfig(**heads(4, 2, rope_parameters=DEFAULT, tie_word_embeddings=False)),
                      torch.float16, None, "1GB"),
    "llama_llama3_sharded": (LlamaConfig(**heads(6, 2, tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32})), torch.float16, None, "40KB"),
    "llama_linear_biased": (LlamaConfig(**heads(4, 4, tie_word_embeddings=False, attention_bias=True, rope_parameters={
        "rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0})), torch.float16,
        {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}}, "1GB"),
    "llama_yarn_mscale_bf16": (LlamaConfig(**heads(4, 1, tie_word_embeddings=False, rope_parameters=dict(
        YARN, mscale=0.9, mscale_all_dim=0.4, beta_fast=16.0, beta_slow=2.0, truncate=False))), torch.bfloat16, None,
        "1GB"),
    "mistral_mqa_head_dim": (MistralConfig(**heads(5, 1, head_dim=16, sliding_window=None, rope_parameters=dict(
        DEFAULT, rope_theta=1e6))), torch.float16, {"rope_theta": 1e6}, "1GB"),
    "qwen2_bias_tied": (Qwen2Config(**heads(4, 2, tie_word_embeddings=True, rope_parameters=dict(
        DEFAULT, rope_theta=1e6))), torch.float16, None, "1GB"),
    "qwen2_yarn": (Qwen2Config(**heads(4, 2, tie_word_embeddings=False, rope_parameters=YARN)), torch.float16,
                   {"rope_theta": 10000.0, "rope_scaling": {key: YARN[key] for key in YARN if key != "rope_theta"}},
                   "1GB"),
    "qwen3_qk_norm": (Qwen3Config(**heads(4, 2, head_dim=20, tie_word_embeddings=True, rope_parameters=dict(
        DEFAULT, rope_theta=1e6))), torch.float16, None, "1GB"),
}


def make_model(name, config, dtype, old_layout, max_shard):
    path = FIXTURES / "models" / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    torch.manual_seed(sum(name.encode()))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith("norm.weight"):
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif key.endswith(".bias"):
                weight.copy_(0.3 * torch.randn_like(weight))
            weight.copy_(weight.to(dtype).float())
    model.to(dtype).save_pretrained(path, max_shard_size=max_shard)
    if old_layout:
        config_path = path / "config.json"
        written = json.loads(config_path.read_text())
        del written["rope_parameters"]
        config_path.write_text(json.dumps(written | old_layout, indent=2, sort_keys=True) + "\n")
    # What is judged is what a reader finds on disk, in either layout.
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(0, BASE["vocab_size"], (N_TOKENS,), dtype=torch.int64)
    with torch.no_grad():
        logits = model(ids[None]).logits[0].float().contiguous()
    save_file({"input_ids": ids, "logits": logits}, path / "golden.safetensors")
    print(name, f"std {logits.std():.2f}", sum(f.stat().st_size for f in path.iterdir()) // 1024, "KiB")


# ------------------------------------------------------------------------------------------------------- tokenizers


def byte_alphabet():
    """The byte at each character of GPT-2's alphabet."""
    shown = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def bpe(pieces, symbols, **options):
    """A BPE whose vocabulary is `symbols` and every piece, each merged from its left part and its last symbol."""
    vocab, merges = {symbol: i for i, symbol in enumerate(symbols)}, []
    for piece in pieces:
        for end in range(2, len(piece) + 1):
            if piece[:end] not in vocab:
                vocab[piece[:end]] = len(vocab)
                merges.append((piece[:end - 1], piece[end - 1]))
    return models.BPE(vocab=vocab, merges=merges, **options)


def make_tokenizers():
    path = FIXTURES / "tokenizers"
    alphabet = byte_alphabet()

    def spelled(text):
        return "".join(alphabet[byte] for byte in text.encode())

    # Byte-level: characters of two to four bytes come in fragments, and some tokens end inside one.
    model = bpe([spelled(text) for text in (" the", "é", "日本", "😀", " 字", "\n\n", "thinking")], alphabet.values())
    byte_level = Tokenizer(model)
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    byte_level.decoder = decoders.ByteLevel()
    byte_level.add_special_tokens([AddedToken("<|end|>"), AddedToken("<｜User｜>")])
    byte_level.add_tokens([AddedToken("<think>"), AddedToken("naïve 😀")])
    byte_level.save(str(path / "byte_level.json"))

    # As Llama 2 and Mistral: a mark for the space, bytes for what the vocabulary lacks, one leading space cut.
    letters = "▁abcdefghijklmnopqrstuvwxyz.,é日"
    symbols = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], *letters]
    pieces = ["▁the", "▁a", "ing", "▁▁", "▁stop", "日é"]
    fallback = Tokenizer(bpe(pieces, symbols, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    fallback.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fallback.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                          decoders.Strip(" ", 1, 0)])
    fallback.add_special_tokens(["<unk>", "<s>", "</s>"])
    fallback.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fallback.save(str(path / "byte_fallback.json"))

    metaspace = Tokenizer(bpe(pieces, ["<unk>", *letters], unk_token="<unk>"))
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace()
    metaspace.decoder = decoders.Metaspace()
    metaspace.add_special_tokens(["<unk>"])
    metaspace.save(str(path / "metaspace.json"))

    texts = ["", "the thinking", " a stop, the  end", "日本 é 😀 字\n\n", "<think>naïve 😀</think><|end|>", "Q: 12 + 34 = ?\n",
             "<|im_start|>user\nIs 7 prime?<|im_end|>\n"]
    cases = []
    for name in ["reasoner", "byte_level", "byte_fallback", "metaspace"]:
        tokenizer = Tokenizer.from_file(str(path / f"{name}.json"))
        for text in texts:
            for special in [False, True]:
                ids = tokenizer.encode(text, add_special_tokens=special).ids
                decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in [False, True]]
                cases.append(dict(tokenizer=name, text=text, add_special=special, ids=ids, shown=decoded[0],
                                  hidden=decoded[1]))
    write_json(FIXTURES / "tokenizers.json", cases)
    print("tokenizers", tokenizers.__version__, len(cases), "cases")


# -------------------------------------------------------------------------------------------------------- templates

NOW = datetime.datetime(2025, 3, 6, 12, 5, 9)


def say(*turns):
    return [dict(role=role, content=content) for role, content in turns]


HELLO = say(("user", "Hello"))
SYSTEM = say(("system", "  Be brief.\n"), ("user", "What is 2 + 2?\n"))
TURNS = say(("system", "Be kind."), ("user", "Hi <b>& 'you'</b>"), ("assistant", "<think>\nA greeting.\n</think>\n\nHello 日本 😀!"),
            ("user", "And 3 * 4?"))
ANSWERED = TURNS + say(("assistant", "<think>\n12\n</think>\n\n12"))
TOOL = say(("user", "Weather?"), ("assistant", "I look."), ("tool", "{\"t\": 21}"), ("tool", "sunny"))
WRONG = say(("user", "one"), ("user", "two"))
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Weather of a <place>, é",
                                           "parameters": {"type": "object", "properties": {"place": {"type": "string"}},
                                                          "required": ["place"]}}}]
TOKENS = {"chatml_tools": ("<|endoftext|>", "<|im_end|>"), "thinking": ("<|endoftext|>", "<|im_end|>"),
          "headers": ("<|begin_of_text|>", "<|eot_id|>"), "inst": ("<s>", "</s>"),
          "distill": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"), "corners": ("<s>", "</s>")}


def make_templates():
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW

    chat_template_utils.datetime = Clock
    cases = []
    for name, (bos, eos) in TOKENS.items():
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(FIXTURES / "tokenizers" / "reasoner.json"), bos_token=bos,
                                            eos_token=eos)
        tokenizer.chat_template = (FIXTURES / "templates" / f"{name}.jinja").read_text()
        runs = [(HELLO, True, {}), (HELLO, False, {}), (SYSTEM, True, {}), (TURNS, True, {}), (ANSWERED, False, {}),
                (TOOL, True, {}), (WRONG, True, {}), (TURNS, True, dict(tools=TOOLS))]
        if name == "thinking":
            runs += [(TURNS, True, dict(enable_thinking=False)), (HELLO, True, dict(enable_thinking=True))]
        if name == "headers":
            runs += [(HELLO, True, dict(date_string="1 Jan 1999")), (HELLO, True, dict(custom_tools=TOOLS))]
        if name == "corners":
            runs += [(say(("user", " alpha "), ("skip", "x"), ("user", "banana bread"), ("stop", "y"), ("user", "z")), True, {})]
        for messages, add_generation_prompt, extra in runs:
            case = dict(template=name, bos_token=bos, eos_token=eos, messages=messages,
                        add_generation_prompt=add_generation_prompt, extra=extra)
            try:
                case["prompt"] = tokenizer.apply_chat_template(messages, tokenize=False, **extra,
                                                               add_generation_prompt=add_generation_prompt)
            except Exception as error:
                case["refused"] = str(error)
            cases.append(case)
    write_json(FIXTURES / "templates.json", cases)
    print("templates", len(cases), "prompts,", sum("refused" in case for case in cases), "refused")


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    make_tokenizers()
    make_templates()
    for name, case in MODELS.items():
        make_model(name, *case)
