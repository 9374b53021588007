#!/usr/bin/env python3
"""spm_golden.py OUT_DIR: a tiny SentencePiece tokenizer as a GGUF file without tensors, and what sentencepiece makes of 60 texts.

spm.gguf  tokenizer metadata only, as converters write it for the llama architecture
spm.json  [{"text", "ids"}], no beginning or end token added, no control token spelled in a text
"""
import io
import json
import pathlib
import sys

import gguf
import sentencepiece

TRAINING = """The cache forgets on purpose. A reasoning model thinks for thousands of tokens, and its cache grows with every one.
Most of those tokens are dead soon after they are written. The engine keeps the living ones, layer by layer.
How many apples are left if there were 12 and 7 were eaten? Think step by step: 12 - 7 = 5, so the answer is 5.
def answer(question): return model.generate(question, max_tokens=100)
for token in tokens: print(token)
A page that is freed goes back to the pool, and other requests draw from the pool.
It's what we've always said: don't keep what you can't use, and they'll thank you.
Der Speicher vergisst mit Absicht, und das ist gut so. Größe und Übung machen den Meister.
La mémoire oublie exprès; où est la clé du château? Ça va très bien, merci.
The weather today is colder than the weather yesterday, whether or not the others noticed it.
There were three thousand and twenty one reasons to read another page in the evening, and then some more.
Привет мир, это просто текст. Сегодня хорошая погода.
今天天气很好。我们去公园。 今日は天気がいい。
Numbers: 0 1 2 3 4 5 6 7 8 9, 2024-11-05, 3.14159, 1,000,000 and 50%.
"""
TEXTS = ["Hello", "Hello world", " Hello", "  Hello", "Hello ", "Hello  ", " ", "  ", "   ", "a", " a", "The cache forgets on purpose.",
         "the model thinks", "12 - 7 = 5", "2024", "3.14159", " 42 ", "1 2 3", "1000000", "x1y2", "don't", "they'll we've it's", "def f(x):\n    return x + 1\n",
         "a\nb", "\n", "\n\n", "\t", "a\tb", "a\r\nb", "tabs\t\tand  spaces", "Größe", "Übung macht den Meister", "mémoire", "e\u0301", "é", "château", "Привет мир",
         "текст и еще текст", "今天天气很好。", "今日は天気がいい。", "東京", "👍", "👩🏿‍🚀", "🏳️‍🌈 flag", "\u00a0", "a\u00a0b", "\u3000", "\u200b", "▁", "▁the", "a▁b",
         "[s]", "<br/>", "(unk)", "<0x0A>", "\u0000", "\u007f\u0080", "ﬁ ½ Ａ", "antidisestablishmentarianism", "the the  the   the    the"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING.splitlines()), model_writer=trained, model_type="bpe", vocab_size=400, byte_fallback=True,
        character_coverage=1.0, normalization_rule_name="identity", add_dummy_prefix=True, remove_extra_whitespaces=False, split_digits=True,
        treat_whitespace_as_suffix=False, minloglevel=1, num_threads=1)
    spm = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())

    def kind(i):
        for test, value in [(spm.is_unknown, gguf.TokenType.UNKNOWN), (spm.is_control, gguf.TokenType.CONTROL),
                            (spm.is_unused, gguf.TokenType.UNUSED), (spm.is_byte, gguf.TokenType.BYTE)]:
            if test(i):
                return value
        return gguf.TokenType.NORMAL

    ids = range(spm.get_piece_size())
    writer = gguf.GGUFWriter(out / "spm.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([spm.id_to_piece(i).encode() for i in ids])
    writer.add_token_scores([spm.get_score(i) for i in ids])
    writer.add_token_types([kind(i) for i in ids])
    writer.add_bos_token_id(spm.bos_id())
    writer.add_eos_token_id(spm.eos_id())
    writer.add_unk_token_id(spm.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    rows = ",\n".join(json.dumps({"text": text, "ids": spm.encode(text)}) for text in TEXTS)
    (out / "spm.json").write_text(f"[\n{rows}\n]\n")
    print(f"{out}: {len(ids)} tokens, {len(TEXTS)} texts")


if __name__ == "__main__":
    main()
