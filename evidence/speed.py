#!/usr/bin/env python3
"""Speed of Lethe beside others, in turns on the same machine, and the table and plots of what came out.

usage: speed.py run LETHE MODEL.gguf CONTEXTS ROWS.jsonl [--engines E,E,...] [--ir DIR] [--batch N] [--cap N] [--threads N]
                    [--repeats N] [--lethe "ARGS"]... [--llama "ARGS"]... [--openvino "ARGS"]...
       speed.py table ROWS.jsonl
       speed.py plot ROWS.jsonl OUT [--model NAME]

e.g.   speed.py run ../target/release/lethe qwen.gguf 128,4096 rows.jsonl --repeats 3 --llama "" --llama "--fa --kv q8_0"
       speed.py run ../target/release/lethe qwen.gguf 8192,16384 rows.jsonl --cap 1024 --engines lethe,openvino --ir qwen-ir

`run` adds to ROWS.jsonl, an engine after the other: lethe, llama.cpp, openvino (the same model as a folder, `--ir`),
mistral.rs. Without `--engines`: lethe and llama.cpp. With `--cap` only those that can forget: lethe (alone if none are named)
and openvino. An engine is run once for every `--lethe`, `--llama` or `--openvino`; scripts by the Python in LLAMA_CPP_PYTHON,
OPENVINO_PYTHON or MISTRALRS_PYTHON if set, else by this one. `table` gives the median over all rows of a kind, and ratios to the
fastest llama.cpp of the same model, position and batch. `plot` draws decoding and prefill of one model, one sequence.
"""
import argparse, itertools, json, os, shlex, statistics, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHONS = {"llama.cpp": "LLAMA_CPP_PYTHON", "openvino": "OPENVINO_PYTHON", "mistral.rs": "MISTRALRS_PYTHON"}


def run(args):
    engines = args.engines or (["lethe"] if args.cap else ["lethe", "llama.cpp"])
    if args.cap and not {"lethe", "openvino"}.issuperset(engines):
        sys.exit("--cap is for lethe and openvino: the others do not forget")
    if "openvino" in engines and not args.ir:
        sys.exit("openvino needs --ir")
    if "mistral.rs" in engines and args.batch > 1:
        sys.exit("mistral.rs: one sequence only")
    for _ in range(args.repeats):
        for engine in engines:
            for command in commands(engine, args):
                fields = dict(engine=engine, model=os.path.basename(args.model))
                if engine == "openvino":
                    fields["weights"] = os.path.basename(os.path.normpath(args.ir))  # of the same shape, not from the same file
                add(args.rows, command, fields)


def commands(engine, args):
    shared = ["--batch", str(args.batch), "--threads", str(args.threads)]
    python = os.environ.get(PYTHONS.get(engine, ""), sys.executable)
    script = lambda name, model: [python, os.path.join(HERE, name), model, args.contexts]
    if engine == "lethe":
        kind = ["--cap", str(args.cap)] if args.cap else ["--policy", "full"]
        bench = [args.binary, "bench", "--json", "--model", args.model, "--context", args.contexts, *shared, *kind]
        return [bench + shlex.split(options) for options in args.lethe or [""]]
    if engine == "openvino":
        evict = ["--evict", str(args.cap)] if args.cap else []
        return [script("openvino_speed.py", args.ir) + shared + evict + shlex.split(options) for options in args.openvino or [""]]
    if engine == "llama.cpp":
        return [script("llama_cpp_speed.py", args.model) + shared + shlex.split(options) for options in args.llama or [""]]
    return [script("mistralrs_speed.py", args.model) + ["--threads", str(args.threads)]]


def add(rows, command, fields):
    """Runs a command and keeps its rows. Peak memory is the process's: where it does not say so itself, the deepest row gets it."""
    print(" ".join(command), file=sys.stderr)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    new = [{**fields, **json.loads(line)} for line in child.stdout]
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if new:
        new[-1].setdefault("peak_rss_bytes", usage.ru_maxrss * 1024)
        if new[0]["engine"] == "lethe" and new[0]["prompt"] == new[0]["context"] and new[0]["batch"] == 1:
            # nothing came before it: the last step that read it gave the first token
            new[0]["ttft_s"] = round(new[0]["prompt"] / new[0]["prompt_tok_s"], 3)
    with open(rows, "a") as file:
        file.writelines(json.dumps(row) + "\n" for row in new)
    if child.returncode:
        sys.exit(f"failed: {' '.join(command)}")


def name(row):
    """What the rows of one kind are called."""
    if row["engine"] == "lethe":
        text = f"Lethe, cap {row['cap']}" if row["cap"] else f"Lethe, {row['policy']}"
    elif row["engine"] == "openvino":
        text = f"OpenVINO, eviction {row['evict']}" if row["evict"] else "OpenVINO"
    else:
        text = row["engine"] + (", flash attention" if row.get("fa") else "")
    return text if row["kv_dtype"] == "f16" else f"{text}, {row['kv_dtype']} cache"


def prunes(row):
    return row.get("policy", "full") != "full" or bool(row.get("evict"))


def read(path):
    """Rows by model, position and batch, and then by what they are called."""
    kinds = {}
    for row in map(json.loads, open(path)):
        kinds.setdefault((row["model"], row["context"], row["batch"]), {}).setdefault(name(row), []).append(row)
    return kinds


def median(rows, key):
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.median(values) if values else None


def table(args):
    print("| model | position | batch | engine | decode, tokens/s | windows, least to most | of llama.cpp | prefill, tokens/s | "
          "of llama.cpp | first token, s | peak memory, GB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for (model, context, batch), engines in sorted(read(args.rows).items()):
        def best(key):
            return max((median(rows, key) for kind, rows in engines.items() if kind.startswith("llama")), default=None)
        for kind, rows in sorted(engines.items()):
            # a pruned cache is fed in short turns: no prefill to compare
            number = lambda key, digits, unit=1: f"{median(rows, key) / unit:.{digits}f}" if median(rows, key) else "-"
            ratio = lambda key: f"{median(rows, key) / best(key):.2f}" if best(key) else "-"
            prefill = not prunes(rows[0])
            low, high = min(row["decode_tok_s_min"] for row in rows), max(row["decode_tok_s_max"] for row in rows)
            print(f"| {model} | {context} | {batch} | {kind} | {number('decode_tok_s', 1)} | {low:.1f} to {high:.1f} | "
                  f"{ratio('decode_tok_s')} | {number('prompt_tok_s', 0) if prefill else '-'} | "
                  f"{ratio('prompt_tok_s') if prefill else '-'} | {number('ttft_s', 2) if prefill else '-'} | "
                  f"{number('peak_rss_bytes', 2, 1e9)} |")


def plot(args):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "lethe", "font.family": "sans-serif", "font.size": 11, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#dddddd"})
    lines = {}
    for (model, context, batch), engines in sorted(read(args.rows).items()):
        if model == args.model and batch == 1:
            for kind, rows in engines.items():
                lines.setdefault(kind, []).append((context, rows))
    if not lines:
        sys.exit(f"no rows of {args.model}")
    draw(args.out, "speed-decode.svg", "decoding, tokens per second", "decode_tok_s", lines)
    draw(args.out, "speed-prefill.svg", "prefill, tokens per second", "prompt_tok_s",
         {kind: points for kind, points in lines.items() if not prunes(points[0][1][0])})


COLOURS = {"Lethe": "#0072b2", "llama": "#d55e00", "OpenVINO": "#009e73", "mistral": "#cc79a7"}  # Okabe and Ito's


def draw(out, file, label, key, lines):
    """A line for every kind: colour by engine, marker by kind, dashes where it forgets; bars from least to most."""
    from matplotlib import pyplot, ticker
    figure, axes = pyplot.subplots(figsize=(8, 5), facecolor="white", layout="constrained")
    for engine, colour in COLOURS.items():
        forgets = lambda kind: prunes(lines[kind][0][1][0])
        kinds = sorted((kind for kind in lines if kind.startswith(engine)), key=lambda kind: (forgets(kind), kind))
        for kind, marker in zip(kinds, itertools.cycle("osD^vP*X")):
            x = [context for context, _ in lines[kind]]
            axes.plot(x, [median(rows, key) for _, rows in lines[kind]], label=kind, color=colour, marker=marker, linewidth=2,
                      dashes=(4, 2) if forgets(kind) else (), markerfacecolor=colour if marker == "o" else "white")
            low = [min(row.get(f"{key}_min", row[key]) for row in rows) for _, rows in lines[kind]]
            high = [max(row.get(f"{key}_max", row[key]) for row in rows) for _, rows in lines[kind]]
            axes.vlines(x, low, high, color=colour, alpha=0.35, linewidth=5, zorder=1)
    axes.set_xscale("log", base=2)
    ticks = sorted({context for points in lines.values() for context, _ in points})
    axes.set_xticks(ticks, [f"{tick // 1024}k" if tick % 1024 == 0 else str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylim(bottom=0)
    axes.set(xlabel="position", ylabel=label)
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=10, handlelength=3)
    figure.savefig(os.path.join(out, file), metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    to_run = commands.add_parser("run")
    to_run.set_defaults(do=run)
    for field in ("binary", "model", "contexts", "rows"):
        to_run.add_argument(field)
    for field, default in (("--batch", 1), ("--cap", None), ("--threads", 2), ("--repeats", 1)):
        to_run.add_argument(field, type=int, default=default)
    to_run.add_argument("--engines", type=engines)
    to_run.add_argument("--ir")
    for field in ("--lethe", "--llama", "--openvino"):
        to_run.add_argument(field, action="append")
    to_print = commands.add_parser("table")
    to_print.set_defaults(do=table)
    to_print.add_argument("rows")
    to_draw = commands.add_parser("plot")
    to_draw.set_defaults(do=plot)
    to_draw.add_argument("rows")
    to_draw.add_argument("out")
    to_draw.add_argument("--model", default="qwen3-0.6b-q8_0.gguf", help="as in the rows")
    args = parser.parse_args()
    args.do(args)


def engines(text):
    unknown = set(text.split(",")) - {"lethe", *PYTHONS}
    if unknown:
        raise argparse.ArgumentTypeError(f"no such engine: {', '.join(unknown)}; there are lethe, {', '.join(PYTHONS)}")
    return text.split(",")


if __name__ == "__main__":
    main()
