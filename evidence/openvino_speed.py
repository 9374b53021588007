#!/usr/bin/env python3
"""Speed of OpenVINO GenAI on the CPU in the terms of `lethe bench --json`: one line for each position, decoding timed in windows.

usage: openvino_speed.py IR CONTEXTS [--batch N] [--threads N] [--windows N] [--kv default|u8|f16] [--evict N]
e.g.   openvino_speed.py qwen-ir 128,4096
       openvino_speed.py qwen-ir 8192,16384 --evict 1024

CONTEXTS ascend, separated by commas. With the whole cache each is a prompt of that length; its prefill speed is that of the
tokens beyond the position before, where the other engines go on. With `--evict` a prompt of 128 tokens is answered up to the
last position, and at most N tokens are kept, the first 128 and the newest 128 always: the pipeline's own cache eviction.

`kv_dtype` is what the cache was measured to hold. Needs: pip install -r requirements-openvino.txt.
"""
import argparse, json, os, time
import numpy, openvino, openvino_genai as G
from speed_row import WARM, WINDOW, show

BLOCK = 32  # tokens of a block of the cache
CHUNK = 512  # most tokens of a step
PROMPT = 128  # tokens, with eviction


def main():
    args = arguments()
    config = json.load(open(os.path.join(args.ir, "config.json")))
    timed = WARM + args.windows * WINDOW
    scheduler = G.SchedulerConfig()
    scheduler.cache_size, scheduler.enable_prefix_caching = 0, False
    scheduler.max_num_batched_tokens, scheduler.max_num_seqs = CHUNK, args.batch
    longest = args.evict + CHUNK if args.evict else args.contexts[-1] + timed
    scheduler.num_kv_blocks = args.batch * (longest // BLOCK + 2)
    if args.evict:
        scheduler.use_cache_eviction = True
        scheduler.cache_eviction_config = G.CacheEvictionConfig(PROMPT, 128, args.evict, G.AggregationMode.NORM_SUM)
    properties = {"INFERENCE_NUM_THREADS": args.threads}
    if args.kv != "default":
        properties["KV_CACHE_PRECISION"] = args.kv
    pipe = G.ContinuousBatchingPipeline(args.ir, scheduler, "CPU", properties)
    ids = iter(range(10**6))

    def run(prompt, new):
        """Ends of all steps and bytes held in the cache then, and how many steps were taken until every sequence had a token."""
        options = G.GenerationConfig()
        options.max_new_tokens, options.ignore_eos, options.do_sample = new, True, False
        tokens = lambda seq: [[(p * 7919 + seq * 104729) % (config["vocab_size"] - 1) for p in range(prompt)]]
        ends, held, first, given = [time.perf_counter()], [0], None, [0] * args.batch
        handles = [pipe.add_request(next(ids), openvino.Tensor(numpy.array(tokens(seq), dtype=numpy.int64)), options)
                   for seq in range(args.batch)]
        while pipe.has_non_finished_requests():
            pipe.step()
            for seq, handle in enumerate(handles):
                while handle.can_read():
                    given[seq] += sum(len(output.generated_ids) for output in handle.read().values())
            ends.append(time.perf_counter())
            metrics = pipe.get_metrics()
            held.append(metrics.kv_cache_size_in_bytes * metrics.cache_usage / 100)
            if first is None and min(given):
                first = len(ends) - 1
        assert given == [new] * args.batch, "not as many tokens as asked for"
        return ends, held, first

    run(min(args.contexts[0], CHUNK), WARM)  # the first request compiles
    element = pipe.get_metrics().kv_cache_size_in_bytes / scheduler.num_kv_blocks / BLOCK / (
        2 * config["num_hidden_layers"] * config["num_key_value_heads"] * (config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]))
    kv_dtype = {1: "u8", 2: "f16", 4: "f32"}[int(element)]  # bytes; those of u8 have scales beside them
    assert args.kv in ("default", kv_dtype), f"the cache is {kv_dtype}"

    past, taken = 0, None
    for depth in args.contexts:
        prompt = min(PROMPT, args.contexts[0]) if args.evict else depth
        if taken is None or not args.evict:
            # the spare tokens are for sequences that begin before the last one has been read
            spare = args.batch * -(-prompt // CHUNK) if args.batch > 1 else 0
            taken = run(prompt, (args.contexts[-1] if args.evict else depth) - prompt + timed + spare + 1)
        ends, held, first = taken
        skip = past // CHUNK if args.batch == 1 and not args.evict else 0
        fed = prompt - skip * CHUNK
        at = first + depth - prompt + WARM
        marks = [at + window * WINDOW for window in range(args.windows + 1)]
        rates = [args.batch * WINDOW / (ends[b] - ends[a]) for a, b in zip(marks, marks[1:])]
        show(
            rates, engine="openvino", version=G.__version__, weight_bytes=os.path.getsize(os.path.join(args.ir, "openvino_model.bin")),
            evict=args.evict, kv_dtype=kv_dtype, threads=args.threads, prompt=fed, context=depth, batch=args.batch,
            prompt_tok_s=round(args.batch * fed / (ends[first] - ends[skip]), 2),
            ttft_s=round(ends[first] - ends[0], 3) if prompt == depth else None,
            kv_peak_bytes=round(max(held[at:marks[-1] + 1])))
        past = depth + timed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ir")
    parser.add_argument("contexts", type=lambda text: [int(c) for c in text.split(",")])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--kv", choices=("default", "u8", "f16"), default="default")
    parser.add_argument("--evict", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
