#!/usr/bin/env python3
"""Speed of mistral.rs on the CPU in the terms of `lethe bench --json`: one line for each position, decoding timed in windows.

usage: mistralrs_speed.py MODEL.gguf CONTEXTS [--threads N] [--windows N]
e.g.   mistralrs_speed.py qwen.gguf 128,512

Each of CONTEXTS, separated by commas, is a prompt of that length: one word over and over, which a logit bias also makes of
every answer, so that each token is one piece of the stream. Makes no request to any hub: tokenizer from the file, no template.
Needs: pip install -r requirements-mistralrs.txt.
"""
import argparse, os, tempfile, time
from importlib.metadata import version
from speed_row import WARM, WINDOW, show


def main():
    args = arguments()
    threads = str(args.threads)
    os.environ.update(HF_HUB_OFFLINE="1", RUST_LOG="off", RAYON_NUM_THREADS=threads, CANDLE_NUM_THREADS=threads)
    from mistralrs import ChatCompletionRequest, Runner, Which
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
        template.write("{{ messages[0]['content'] }}")
        template.flush()
        folder, name = os.path.split(os.path.abspath(args.model))
        runner = Runner(Which.GGUF(folder, name), prefix_cache_n=0, jinja_explicit=template.name)
    tokens = lambda text: runner.tokenize_text(text, False, None)
    word = next(word for word in (" hello", "x") if len(tokens(word * 64)) == 64)
    bias = {tokens(word * 64)[10]: 1000.0}

    def run(prompt, new):
        """Seconds from the request until each token."""
        start, times = time.perf_counter(), []
        for piece in runner.send_chat_completion_request(ChatCompletionRequest(
                messages=word * prompt, model="default", max_tokens=new, stream=True, ignore_eos=True, temperature=0.0,
                logit_bias=bias)):
            times.append(time.perf_counter() - start)
            usage = piece.usage
        assert (usage.prompt_tokens, usage.completion_tokens, len(times)) == (prompt, new, new), "not a token a piece"
        return times

    run(16, WARM)
    for depth in args.contexts:
        times = run(depth, 1 + WARM + args.windows * WINDOW)
        marks = [WARM + window * WINDOW for window in range(args.windows + 1)]
        rates = [WINDOW / (times[b] - times[a]) for a, b in zip(marks, marks[1:])]
        show(
            rates, engine="mistral.rs", version=version("mistralrs"),
            kv_dtype="f32" if os.environ.get("MISTRALRS_CPU_KV_F32") == "1" else "f16", threads=args.threads, prompt=depth,
            context=depth, batch=1, prompt_tok_s=round(depth / times[0], 2),
            ttft_s=round(times[0], 3))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("contexts", type=lambda text: [int(c) for c in text.split(",")])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
