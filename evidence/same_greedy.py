#!/usr/bin/env python3
"""same_greedy.py LETHE MODEL.gguf REFERENCE.jsonl: whether `lethe run` goes on as greedy.py's llama.cpp did.

LETHE is the program. Every prompt is fed as ids, everything is kept. Prints how many continuations are the same ids, and
where the others part; ends with 1 unless all are the same.
"""
import json
import subprocess
import sys


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, model, reference = sys.argv[1:]
    same = total = 0
    for line in open(reference):
        row = json.loads(line)
        if not row["new_ids"]:
            continue
        total += 1
        command = [program, "run", "-m", model, "--prompt-tokens", ",".join(map(str, row["ids"])), "--json",
                   "--temperature", "0", "--policy", "full", "--kv-memory", "256MiB", "-n", str(len(row["new_ids"]))]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["token_ids"]
        expected = row["new_ids"][:len(found)]  # llama.cpp may have gone on past an end token
        if found == expected:
            same += 1
        else:
            at = next(i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
            print(f"{row['ids'][:8]}...: the same for {at} tokens, then {found[at]} instead of {expected[at]}")
    print(f"the same: {same} of {total}")
    sys.exit(same != total)


if __name__ == "__main__":
    main()
