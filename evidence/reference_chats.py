#!/usr/bin/env python3
"""reference_chats.py MODEL.gguf OUT.jsonl: conversations.json rendered by transformers with the chat template of the file.

Writes {"messages", "rendered"} or {"messages", "error"} a line; the assistant's turn is opened at the end.
"""
import json
import pathlib
import sys

from model_file import chat_tokenizer


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tokenizer = chat_tokenizer(sys.argv[1])
    conversations = json.loads((pathlib.Path(__file__).parent / "conversations.json").read_text())
    errors = 0
    with open(sys.argv[2], "w") as out:
        for messages in conversations:
            row = {"messages": messages}
            try:
                row["rendered"] = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            except Exception as error:
                row["error"] = str(error)
                errors += 1
            out.write(json.dumps(row) + "\n")
    print(f"{sys.argv[2]}: {len(conversations)} conversations, {errors} refused")


if __name__ == "__main__":
    main()
