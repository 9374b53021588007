"""Writes tests/fixtures/gguf, small GGUF files that other implementations vouch for:

MODEL.gguf          tiny random models of every architecture and tensor type, with `golden.ids` and `golden.logits`: the
                    logits transformers computes in float32 from the same weights, dequantised by the gguf package
vocab_PRE.gguf      a small byte-level BPE vocabulary for every pre-tokenizer that is supported, without tensors
vocab.json          texts, and their ids by llama.cpp for each of those vocabularies

Needs torch, transformers 5, gguf, tokenizers and llama-cpp-python. Run in this directory: python make_gguf.py
"""
import json
import pathlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

OUT = pathlib.Path(__file__).parent / "fixtures" / "gguf"
N_TOKENS = 64
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}


def base(width, n_heads, n_kv_heads, **rest):
    return dict(vocab_size=96, hidden_size=width, intermediate_size=rest.pop("inner", width), num_hidden_layers=2,
                num_attention_heads=n_heads, num_key_value_heads=n_kv_heads, max_position_embeddings=256,
                rms_norm_eps=1e-5, bos_token_id=92, eos_token_id=93, initializer_range=0.15, **rest)


# name: (architecture in GGUF, config, tensor types in turn)
MODELS = {
    "llama_f32": ("llama", LlamaConfig(**base(32, 4, 2, tie_word_embeddings=False, rope_parameters=LLAMA3)), [T.F32]),
    "llama_blocks": ("llama", LlamaConfig(**base(96, 3, 3, inner=160, tie_word_embeddings=True, attention_bias=False,
                                                 rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0})),
                     [T.Q8_0, T.Q4_0, T.Q4_1, T.F16, T.BF16, T.Q5_0, T.Q5_1]),
    "mistral_f16": ("llama", MistralConfig(**base(48, 5, 1, head_dim=16, sliding_window=None, tie_word_embeddings=False,
                                                  rope_parameters=dict(DEFAULT, rope_theta=1e6))), [T.F16]),
    "qwen2_k": ("qwen2", Qwen2Config(**base(256, 4, 2, tie_word_embeddings=False, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32})),
        [T.Q4_K, T.Q6_K, T.Q5_K, T.Q4_K, T.Q3_K, T.Q6_K, T.Q2_K]),
    "qwen3_q8": ("qwen3", Qwen3Config(**base(64, 4, 2, head_dim=32, tie_word_embeddings=True, rope_parameters=dict(
        DEFAULT, rope_theta=1e6))), [T.Q8_0]),
}
# of each type: bytes of a block, and where its f16 scales are
SCALES = {T.Q2_K: (84, [80, 82]), T.Q3_K: (110, [108]), T.Q4_K: (144, [0, 2]), T.Q5_K: (176, [0, 2]), T.Q6_K: (210, [208])}


def encode(values, dtype, random):
    """Stored bytes, and the numbers they stand for. K types have no quantiser in Python: any blocks with small scales do."""
    if dtype == T.F32:
        return values, values
    if dtype in SCALES:
        size, scales = SCALES[dtype]
        rows, blocks = values.shape[0], values.shape[1] // 256
        raw = random.integers(0, 256, (rows, blocks, size), dtype=np.uint8)
        for at in scales:
            scale = random.uniform(-1, 1, (rows, blocks, 1)).astype(np.float16) * np.float16({T.Q2_K: 0.001, T.Q3_K: 0.001}.get(dtype, 0.0002))
            raw[:, :, at:at + 2] = scale.view(np.uint8)
        raw = raw.reshape(rows, -1)
    else:
        raw = gguf.quantize(values, dtype)
    return raw, gguf.dequantize(raw, dtype)


def interleave(weights, n_heads):
    """The order of the rows of Q and K in files of the Llama architecture."""
    rows, *rest = weights.shape
    return weights.reshape(n_heads, 2, rows // n_heads // 2, *rest).swapaxes(1, 2).reshape(rows, *rest)


def separate(weights, n_heads):
    rows, *rest = weights.shape
    return weights.reshape(n_heads, rows // n_heads // 2, 2, *rest).swapaxes(1, 2).reshape(rows, *rest)


def make_model(name, arch, config, types):
    torch.manual_seed(sum(name.encode()))
    random = np.random.default_rng(sum(name.encode()))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "norm" in key:
                parameter.uniform_(0.5, 1.5)
            elif key.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", arch)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], config.num_hidden_layers)
    turn = 0
    for key, parameter in model.named_parameters():
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        values = parameter.detach().numpy().astype(np.float32)
        n_heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
        n_heads = n_heads.get(target.split(".")[-2]) if arch == "llama" else None
        if n_heads:
            values = interleave(values, n_heads)
        dtype = T.F32
        if values.ndim == 2:
            dtype = types[turn % len(types)]
            turn += 1
        raw, seen = encode(values, dtype, random)
        writer.add_tensor(target, raw, raw_dtype=dtype)
        seen = separate(seen, n_heads) if n_heads else seen
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(seen)))
    if rope["rope_type"] == "llama3":
        plain = 1.0 / rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
        stretched = model.model.rotary_emb.inv_freq.numpy()
        writer.add_tensor("rope_freqs.weight", (plain / stretched).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ids = torch.randint(0, config.vocab_size, (1, N_TOKENS), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
    print(name, "largest logit", float(logits.abs().max()))
    save_file({"input_ids": ids[0].contiguous(), "logits": logits.contiguous()}, OUT / f"{name}.golden.safetensors")


PRES = ["qwen2", "deepseek-r1-qwen", "llama-bpe", "smollm", "gpt-2", "deepseek-llm"]
TRAIN = """The quick brown fox jumps over the lazy dog, and it doesn't mind: we've seen 1234567 foxes in 2024.
fn main() { let x = vec![1, 22, 333]; println!("{x:?}"); } // don't panic
def f(a, b=10): return a ** b  # tabs\tand  spaces
Größe, naïve café, Ελλάδα, Привет мир, 你好，世界。今天天气很好。日本語のテキスト、カタカナ。한국어 문장입니다.
<|im_start|>user\nHello there!<|im_end|>\n
"""
TEXTS = [
    "Hello world", " Hello  world ", "don't DON'T we'll WE'LL I'm I'M", "1", "12", "123", "1234567890", "3.14159 and 1,000,000",
    "a\nb\n\nc\n\n\nd", "line\r\nline\r\n\r\n", "\ttabs\t\tand\t spaces", "   leading", "trailing   ", "  \n  \n x", "\n", " ", "   ",
    "x  y   z    w", "fn main() { println!(\"{}\", 42); }", "if (a&&b||c) { x+=1; } /* ... */", "https://example.com/a?b=c&d=e#f",
    "你好，世界。", "今天天气很好abc你好123", "日本語のテキスト、カタカナ。", "한국어 문장입니다.", "Привет, мир!", "Ελλάδα Größe naïve café",
    "ﬁne ﬂow ＡＢＣ １２３", "नमस्ते दुनिया", "สวัสดีชาวโลก", "مرحبا بالعالم", "שלום עולם", "😀😃 👨‍👩‍👧 🇩🇪", "a😀b", "¿Qué? ¡Sí!",
    "½ ² ³ ⅓ Ⅷ ٣", "_under_score__ -dash- --", "''' \"\"\" ```", "'s 't 're", "x's y'RE", "!!!???...", "$100 €50 £20", "a\u00a0b\u2003c\u3000d",
    "\u0000\u0001\u001f", "\u200bzero\u200dwidth\ufeff", "<|im_start|>user\nHi<|im_end|>\n", "<s>[INST] x [/INST]</s>", "end\n ", "end \n", "a \n b",
    "ab" * 40, "9" * 50, "。。。", "“quoted” ‘single’ – — …", "C++ C# .NET", "x=1;y=2;z=3", "\\frac{1}{2} \\boxed{784}", "A.B.C. e.g. i.e.", "CamelCaseWord snake_case", "ǅ ǈ ʰ ƻ",
]


def make_vocabularies():
    import llama_cpp
    cutter = {"digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])}
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = cutter["digits"]
    trained.train_from_iterator([TRAIN, *TEXTS] * 4, trainers.BpeTrainer(
        vocab_size=480, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    state = json.loads(trained.to_str())["model"]
    # Merges across what only some pre-tokenizers cut, so that the cuts show.
    vocab = sorted(state["vocab"], key=state["vocab"].get)
    merges = [" ".join(pair) for pair in state["merges"]]
    extra = ["1 2", "3 4", "12 3", "9 9", "99 9", "ĠĠ Ġ", "Ċ Ċ", "! !", "' s", "Ġ '", "s s", "D O", "N '"]
    for pair in extra:
        left, right = pair.split(" ")
        if left in vocab and right in vocab and left + right not in vocab:
            vocab.append(left + right)
            merges.append(pair)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = vocab + special + ["<think>"]
    kinds = [gguf.TokenType.NORMAL] * len(vocab) + [gguf.TokenType.CONTROL] * len(special) + [gguf.TokenType.USER_DEFINED]
    golden = {"texts": TEXTS, "ids": {}}
    for pre in PRES:
        path = OUT / f"vocab_{pre}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for add, value in [(writer.add_context_length, 64), (writer.add_embedding_length, 32), (writer.add_block_count, 1),
                           (writer.add_feed_forward_length, 32), (writer.add_head_count, 2), (writer.add_layer_norm_rms_eps, 1e-5)]:
            add(value)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(kinds)
        writer.add_token_merges(merges)
        writer.add_bos_token_id(tokens.index("<|endoftext|>"))
        writer.add_eos_token_id(tokens.index("<|im_end|>"))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        vocabulary = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)
        golden["ids"][pre] = [vocabulary.tokenize(text.encode(), add_bos=False, special=True) for text in TEXTS]
    (OUT / "vocab.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (arch, config, types) in MODELS.items():
        make_model(name, arch, config, types)
    make_vocabularies()
