"""Evaluation, card and the exported folder."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import references
from reasoner import adapters, base, evaluate
from reasoner.attention import layers
from reasoner.card import _claim
from reasoner.data import Source
from reasoner.errors import kind_of
from reasoner.export import export
from reasoner.finish import finish
from reasoner.generate import generate
from reasoner.model import Reasoner
from reasoner.presets import PRESETS, Preset
from reasoner.statistics import wilson
from reasoner.tasks import ask, problem
from reasoner.tokenizer import build, encode
from reasoner.trainer import Trainer

CPU = torch.device("cpu")
FIXTURES = Path(__file__).parents[2] / "crates/lethe-model/tests/fixtures/gguf"
SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture
def short(monkeypatch) -> None:
    """An evaluation of little problems."""
    monkeypatch.setattr(evaluate, "LEVELS", dict.fromkeys(evaluate.FAMILIES, 0.0))
    monkeypatch.setattr(evaluate, "_long_sizes", lambda family, preset: [2] if family in ("cards", "two_turn") else [])


def test_the_exported_folder_loads_and_says_the_same(tiny: Preset, tmp_path: Path, short: None, monkeypatch) -> None:
    trainer = Trainer(tiny.changed(["stretch=1.0"]), 0, CPU)
    measured = finish(trainer, tmp_path, 1)
    assert {count["total"] for count in measured["families"].values()} == {1}
    assert json.loads((tmp_path / "evaluation.json").read_text())["families"].keys() == measured["families"].keys()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| recipes | 0/1 |" in card and "| two_turn | 0.4 | 5/8 (" in card

    # Cut off in the middle of a line, it goes on from the others.
    rows = (tmp_path / "results.jsonl").read_text()
    (tmp_path / "results.jsonl").write_text(rows[: len(rows) // 2])
    asked = []
    monkeypatch.setattr(evaluate, "_ask", lambda *args: asked.extend(args[2]) or [[""] * 2 for _ in args[2]])
    again = finish(trainer, tmp_path, 1)
    assert again["families"] == measured["families"] and 0 < len(asked) < len(measured["results"])
    monkeypatch.undo()

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    turn = problem("days", 0.3, 5).turns[0]
    talk = [{"role": "user", "content": turn.question}]
    text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert text == ask(turn.question)
    ids = tokenizer(text, return_tensors="pt").input_ids
    assert ids[0].tolist() == build().encode(text).ids
    with torch.no_grad():
        ours = trainer.model.logits(trainer.model(ids))
        theirs = loaded(ids).logits
    # The file has float16, the trainer float32.
    assert (ours - theirs).abs().max() < 0.05 * ours.std()
    for row in references.rows(tmp_path / "model", 5):
        limit = len(row["gold_ids"]) * 5 // 4 + 16
        ends = set(loaded.generation_config.eos_token_id)
        model = trainer.averaged().half().float()
        assert generate(model, [row["prompt_ids"]], [limit], ends) == [row["greedy_ids"]]
        assert tokenizer.decode(row["gold_ids"]) == f"<think>\n{row['thinking']}\n</think>\n\n{row['answer']}<|im_end|>"

    assert loaded.generation_config.eos_token_id == [
        tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>")
    ]


@pytest.mark.parametrize("rank", [0, 8])
def test_a_llama_is_taught_from_a_folder(rank: int, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=96,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=32,
        rms_norm_eps=1e-5,
        rope_theta=1e5,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        initializer_range=0.2,
    )
    reference = LlamaForCausalLM(config).eval()
    reference.save_pretrained(tmp_path / "llama")
    PreTrainedTokenizerFast(tokenizer_object=build()).save_pretrained(tmp_path / "llama")
    preset = PRESETS["smollm2"].changed(
        ["max_positions=2048", "longest=2000", "workers=0", "dtype=float32", f"rank={rank}"]
    )
    trainer = Trainer(preset, 0, CPU, base.load(tmp_path / "llama", 2048))
    ids, positions = torch.randint(900, (2, 90)), torch.arange(90).repeat(2, 1)
    positions[:, 50:] += 700
    with torch.no_grad():
        theirs = reference(ids, attention_mask=torch.ones_like(ids), position_ids=positions).logits
        assert (trainer.model.logits(trainer.model(ids, positions)) - theirs).abs().max() < 1e-3

    batch = min(Source(preset, 0, trainer.tokenizer).pool(0), key=lambda batch: batch.ids.size)
    start = {name: weight.clone() for name, weight in trainer.averaged().named_parameters()}
    before = float(trainer.learn(batch, 0.1)[0])
    trainer.save(tmp_path)
    resumed = Trainer.resumed(tmp_path, CPU)
    for _ in range(8):
        after = float(resumed.learn(batch, 0.1)[0])
    assert after < before
    changed = {name for name, weight in resumed.averaged().named_parameters() if not torch.equal(weight, start[name])}
    assert changed == {name for name in start if not rank or "_proj" in name}
    newest = Reasoner(resumed.model.shape)
    newest.load_state_dict(adapters.merged(resumed.model.state_dict()))
    with torch.no_grad():
        assert (resumed.model(ids) - newest(ids)).abs().max() < 1e-3
    export(resumed.averaged(), resumed.tokenizer, tmp_path / "taught")
    taught = AutoModelForCausalLM.from_pretrained(tmp_path / "taught", dtype=torch.float32).eval()
    assert taught.config.model_type == "llama"
    with torch.no_grad():
        ours, theirs = resumed.averaged(), taught(ids).logits
        # Written as f16, so the same but for its rounding, which grows with the logits.
        assert (ours.logits(ours(ids)) - theirs).norm() < 0.005 * theirs.norm()


def test_a_gguf_file_is_read_with_its_digits_apart() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES, gguf_file="vocab_smollm.gguf").backend_tokenizer
    base._digits_apart(tokenizer, FIXTURES / "vocab_smollm.gguf")
    assert tokenizer.encode("in 1234 days").tokens[:6] == ["in", "Ġ", "1", "2", "3", "4"]
    with pytest.raises(ValueError, match="11 weights are missing"):
        base.load(FIXTURES / "vocab_smollm.gguf", 64)


def test_models_that_cannot_be_taught_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a folder of a model"):
        base.load(tmp_path / "nothing", 2048)
    LlamaForCausalLM(LlamaConfig(**SMALL, attention_bias=True)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="output embeddings of their own, biases in attention, only 2048 positions"):
        base.load(tmp_path, 4096)
    Qwen2ForCausalLM(Qwen2Config(**SMALL)).save_pretrained(tmp_path / "qwen2")
    with pytest.raises(ValueError, match="its architecture is qwen2"):
        base.load(tmp_path / "qwen2", 64)


class Knowing:
    """Stands for a model that says what it is told to say."""

    def __init__(self, replies: list[str]) -> None:
        self.replies = [build().encode(reply, add_special_tokens=False).ids for reply in replies]

    def __call__(self, model, prompts, limits, ends) -> list[list[int]]:
        said = [self.replies.pop(0)[:limit] for limit in limits]
        return said


def test_right_is_who_gets_every_turn_right(monkeypatch) -> None:
    tokenizer = build()
    asked = problem("two_turn", 0.2, 1)
    right = [turn.reply() + "<|im_end|>" for turn in asked.turns]
    wrong = right[1].replace("odd", "even", 1).replace(asked.turns[1].answer, "Nobody has 1.")
    for replies, is_right, flawless in [
        (right, True, True),
        ([right[0], wrong], False, False),
        ([right[0].replace("Move 1", "Move 2", 1), right[1]], True, False),
        ([right[0][: len(right[0]) // 2], right[1]], False, False),
    ]:
        monkeypatch.setattr(evaluate, "generate", Knowing(list(replies)))
        [result] = evaluate.evaluate(None, tokenizer, [evaluate.Asked("0", "main", asked, 300)])
        assert (result.right, result.flawless) == (is_right, flawless)
        assert bool(result.error) != is_right


@pytest.mark.parametrize(
    "family, old, new, kind",
    [
        ("cards", "Move 2 of", "Move 3 of", "count"),
        ("cards", "is odd", "is even", "parity"),
        ("days", ": less", ": more", "comparison"),
        ("days", " = 2", " = 3", "sum"),
        ("sort", "Smallest 1", "Smallest 9", "smallest"),
        ("rooms", " new", " seen", "seen or new"),
        ("rooms", "Back to ", "Back to 1", "way back"),
        ("rooms", "Trace back:", "Trace back: 1", "trace"),
        ("rooms", " I go to", " Dead end", "choice"),
        ("cards", "Move 2 of", "</think>", "count"),
        ("cards", " + ", " + 1", "amount"),
        ("recipes", "Back to ", "Back to a", "goal"),
        ("recipes", "= 1", "= 2", "sum"),
        ("recipes", "</think>", "", "form"),
    ],
)
def test_the_first_mistake_has_a_kind(family: str, old: str, new: str, kind: str) -> None:
    turn = next(t for t in (problem(family, 0.5, seed).turns[0] for seed in range(99)) if old in t.reply())
    assert kind_of(family, turn.thinking, turn.answer, turn.reply().replace(old, new, 1)) == kind


def test_replies_cut_off_or_too_long_have_kinds_of_their_own() -> None:
    turn = problem("sort", 0.5, 1).turns[0]
    assert kind_of("sort", turn.thinking, turn.answer, turn.reply()[:40]) == "cut off"
    assert kind_of("sort", turn.thinking, turn.answer, turn.reply() + " More.") == "goes on"
    assert kind_of("sort", turn.thinking, turn.answer, turn.reply()[:-2] + "x.") == "answer"


def test_groups_by_length_are_large_and_miss_nobody(tiny: Preset) -> None:
    results = [evaluate.Result(str(n), "cards", "main", 0.1, n, n < 120, True, "") for n in range(170)]
    groups = evaluate.by_length(results)
    assert [group["total"] for group in groups] == [56, 57, 57]
    assert [(group["min_tokens"], group["max_tokens"]) for group in groups] == [(0, 55), (56, 112), (113, 169)]
    assert "cards 112." in _claim({"cards": groups})
    assert "cards 112, the longest asked." in _claim({"cards": groups[:2]})
    assert "cards none." in _claim({"cards": groups[2:]})

    # What is asked stays within what the preset trains, and reaches its end.
    drawn = evaluate.problems(12, PRESETS["cpu"], build())
    lengths = [len(encode(build(), asked.problem.turns)[0]) for asked in drawn]
    assert 1600 < max(lengths) <= PRESETS["cpu"].longest
    groups = [asked.group for asked in drawn]
    assert {"main", "long", "first"} == set(groups) and groups.count("main") == 72


def test_layers_that_look_at_one_place_are_sparse(tiny: Preset) -> None:
    model = Trainer(tiny, 0, CPU).model
    ids = encode(build(), problem("days", 0.3, 5).turns)[0]
    # The first layer is wired to look at one token, its last head at a window; here that one looks at one as well.
    queries = model.layers[0].self_attn.q_proj.weight.data.view(model.shape.heads, model.shape.head_dim, -1)
    queries[-1] = queries[-2]
    measured = layers(model, [ids])
    assert measured[0]["hoyer"] > 0.95 and measured[0]["sink_mass"] < 0.05
    for norm in (model.layers[1].self_attn.q_norm, model.layers[1].self_attn.k_norm):
        norm.weight.data.zero_()
    even = layers(model, [ids])[1]
    assert even["hoyer"] < 1e-3
    expected = sum(4 / (n + 1) for n in range(32, len(ids))) / (len(ids) - 32)
    assert abs(even["sink_mass"] - expected) < 1e-3


def test_wilson() -> None:
    # Newcombe 1998, table I: 81 of 263.
    low, high = wilson(81, 263)
    assert abs(low - 0.2553) < 1e-4 and abs(high - 0.3662) < 1e-4
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0
