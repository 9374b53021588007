#!/usr/bin/env python3
"""Speed of Lethe beside llama.cpp, in turns on the same machine, and the table of what came out.

usage: speed.py run LETHE MODEL.gguf CONTEXTS ROWS.jsonl [--batch N] [--cap N] [--threads N] [--repeats N] [--llama "ARGS"]...
       speed.py table ROWS.jsonl

e.g.   speed.py run ../target/release/lethe qwen.gguf 128,4096 rows.jsonl --repeats 3 --llama "" --llama "--fa --kv q8_0"
       speed.py run ../target/release/lethe qwen.gguf 8192,16384 rows.jsonl --cap 1024

`run` adds to ROWS.jsonl: with `--cap` only Lethe, pruning; else Lethe with the full cache and llama_cpp_speed.py with every
`--llama`. `table` gives the median over all rows of a kind, and ratios to the fastest llama.cpp of the same model, position
and batch.
"""
import argparse, json, os, shlex, statistics, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(args):
    lethe = [args.lethe, "bench", "--json", "--model", args.model, "--context", args.contexts, "--batch",
             str(args.batch), "--threads", str(args.threads)]
    lethe += ["--cap", str(args.cap)] if args.cap else ["--policy", "full"]
    theirs = [sys.executable, os.path.join(HERE, "llama_cpp_speed.py"), args.model, args.contexts, "--batch",
              str(args.batch), "--threads", str(args.threads)]
    for _ in range(args.repeats):
        add(args.rows, lethe, dict(engine="lethe"))
        for options in [] if args.cap else args.llama or [""]:
            add(args.rows, theirs + shlex.split(options), dict(model=os.path.basename(args.model)))


def add(rows, command, fields):
    print(" ".join(command), file=sys.stderr)
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    with open(rows, "a") as file:
        for line in out.splitlines():
            file.write(json.dumps({**fields, **json.loads(line)}) + "\n")


def table(args):
    kinds = {}
    for line in open(args.rows):
        row = json.loads(line)
        if row["engine"] == "lethe":
            name = "Lethe, full" if row["policy"] == "full" else f"Lethe, cap {row['cap']}"
        else:
            name = f"llama.cpp{', flash attention' if row['fa'] else ''}"
        if row["kv_dtype"] != "f16":
            name += f", {row['kv_dtype']} cache"
        kinds.setdefault((row["model"], row["context"], row["batch"]), {}).setdefault(name, []).append(row)
    print("| model | position | batch | engine | decode, tokens/s | windows, least to most | of llama.cpp | prefill, tokens/s | of llama.cpp |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (model, context, batch), engines in sorted(kinds.items()):
        def median(rows, key):
            values = [row[key] for row in rows if row[key] is not None]
            return statistics.median(values) if values else None
        def best(key):
            return max((median(rows, key) for name, rows in engines.items() if name.startswith("llama")), default=None)
        for name, rows in sorted(engines.items()):
            ratio = lambda key: f"{median(rows, key) / best(key):.2f}" if best(key) else "-"
            low, high = min(row["decode_tok_s_min"] for row in rows), max(row["decode_tok_s_max"] for row in rows)
            # a pruned cache is fed in short turns: no prefill to compare
            prefill = "cap" not in name
            print(f"| {model} | {context} | {batch} | {name} | {median(rows, 'decode_tok_s'):.1f} | {low:.1f} to {high:.1f} | "
                  f"{ratio('decode_tok_s')} | {median(rows, 'prompt_tok_s') if prefill else 0:.0f} | "
                  f"{ratio('prompt_tok_s') if prefill else '-'} |".replace("| 0 |", "| - |"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    to_run = commands.add_parser("run")
    to_run.set_defaults(do=run)
    for name in ("lethe", "model", "contexts", "rows"):
        to_run.add_argument(name)
    for name, default in (("--batch", 1), ("--cap", None), ("--threads", 2), ("--repeats", 1)):
        to_run.add_argument(name, type=int, default=default)
    to_run.add_argument("--llama", action="append")
    to_print = commands.add_parser("table")
    to_print.set_defaults(do=table)
    to_print.add_argument("rows")
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
