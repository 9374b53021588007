#!/usr/bin/env python3
"""Speed of llama.cpp in the terms of `lethe bench --json`: one line for each position, decoding timed in windows.

usage: llama_cpp_speed.py MODEL.gguf CONTEXTS [--batch N] [--threads N] [--windows N] [--fa] [--kv f16|q8_0]
e.g.   llama_cpp_speed.py qwen.gguf 128,4096 --threads 2

CONTEXTS ascend, separated by commas; each goes on from the one before. Every sequence of the batch holds its own tokens.
Needs: pip install llama-cpp-python (built with CMAKE_ARGS="-DGGML_NATIVE=ON").
"""
import argparse, time
import llama_cpp as L
from speed_row import WARM, WINDOW, show

TYPES = {"f16": 1, "q8_0": 8}


def main():
    args = arguments()
    L.llama_backend_init()
    model_params = L.llama_model_default_params()
    model = L.llama_model_load_from_file(args.model.encode(), model_params)
    vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    params = L.llama_context_default_params()
    longest = args.contexts[-1] + (args.windows * WINDOW + WARM) * len(args.contexts)
    params.n_ctx = args.batch * (-(-longest // 256) * 256)
    params.n_batch = params.n_ubatch = 512
    params.n_seq_max = args.batch
    params.n_threads = params.n_threads_batch = args.threads
    params.type_k = params.type_v = TYPES[args.kv]
    params.flash_attn_type = 1 if args.fa else 0
    context = L.llama_init_from_model(model, params)
    assert context, "llama.cpp refuses these parameters"
    batch = L.llama_batch_init(512, 0, 1)

    def decode(rows):
        """Rows of (token, position, sequence, wants logits)."""
        batch.n_tokens = len(rows)
        for i, (token, position, seq, wants) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wants
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, seq
        assert L.llama_decode(context, batch) == 0, "llama_decode failed"
        L.llama_synchronize(context)

    position = 0
    token = lambda p, seq: (p * 7919 + seq * 104729) % (vocab - 1)
    for depth in args.contexts:
        start, fed = time.perf_counter(), depth - position
        for seq in range(args.batch):
            for at in range(position, depth, 512):
                end = min(at + 512, depth)
                decode([(token(p, seq), p, seq, p + 1 == end) for p in range(at, end)])
        read = time.perf_counter() - start
        position = depth
        rates = []
        for window in range(args.windows + 1):  # the first few tokens are not timed
            steps = WINDOW if window else WARM
            start = time.perf_counter()
            for _ in range(steps):
                decode([(token(position, seq), position, seq, True) for seq in range(args.batch)])
                position += 1
            if window:
                rates.append(args.batch * steps / (time.perf_counter() - start))
        show(
            rates, engine="llama.cpp", version=L.__version__, fa=args.fa, kv_dtype=args.kv, threads=args.threads, prompt=fed,
            context=depth, batch=args.batch, prompt_tok_s=round(args.batch * fed / read, 2),
            ttft_s=round(read, 3) if fed == depth else None)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("contexts", type=lambda text: [int(c) for c in text.split(",")])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--fa", action="store_true")
    parser.add_argument("--kv", choices=TYPES, default="f16")
    return parser.parse_args()


if __name__ == "__main__":
    main()
