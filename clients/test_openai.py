"""The `openai` package against a running `lethe serve`, unmodified: LETHE_BIN names the binary (default: target/release/lethe)."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("LETHE_BIN", str(ROOT / "target/release/lethe"))
KEY = "sk-of-this-test"
MODEL = "reasoner-s"
QUESTION = [{"role": "user", "content": "Sort 41 7 93 20."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


def serve(*arguments):
    """A server on a free port, until the fixture ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [BINARY, "serve", *arguments, "--port", str(port), "--api-key", KEY, "--kv-memory", "64MiB", "--max-num-seqs", "8"]
    server = subprocess.Popen(command)
    base = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(base + "/ready")
            break
        except OSError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
    yield base + "/v1"
    server.terminate()
    assert server.wait(timeout=60) == 0, "SIGTERM drains and ends well"


@pytest.fixture(scope="session")
def url():
    yield from serve()


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    """A client of the embedded model under a chat template that shows tools."""
    folder = tmp_path_factory.mktemp("model") / MODEL
    shutil.copytree(ROOT / "crates/lethe-reasoner/model", folder)
    named = json.loads((folder / "tokenizer_config.json").read_text())
    named["chat_template"] = (ROOT / "crates/lethe-model/tests/fixtures/templates/chatml_tools.jinja").read_text()
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    for base in serve(str(folder), "--served-model-name", MODEL):
        yield openai.OpenAI(base_url=base, api_key=KEY, max_retries=0)


@pytest.fixture(scope="session")
def client(url):
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


def ask(client, **fields):
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, **fields})


def test_models(client):
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_chat_thinks_and_answers(client):
    whole = ask(client)
    choice = whole.choices[0]
    assert choice.finish_reason == "stop"
    assert "7 20 41 93" in choice.message.content
    assert choice.message.reasoning == choice.message.reasoning_content and choice.message.reasoning
    usage = whole.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens
    assert usage.kv["policy"] == "auto" and usage.kv["warnings"] == []


def test_a_stream_says_the_same(client):
    whole = ask(client)
    content, reasoning, usage, reasons = "", "", None, []
    for chunk in ask(client, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            content += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            reasons.append(choice.finish_reason)
    assert (content, reasoning) == (whole.choices[0].message.content, whole.choices[0].message.reasoning_content)
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert [r for r in reasons if r] == ["stop"]


def test_a_stream_that_is_left_does_not_hurt(client):
    with ask(client, stream=True, max_tokens=2000, extra_body={"ignore_eos": True}) as stream:
        next(iter(stream))
    assert ask(client, max_tokens=3).usage.completion_tokens == 3


def test_the_policy_is_part_of_the_request(client):
    cut = {"kv_policy": {"name": "lethe", "cap": 40, "trigger": "cap", "interval": 8, "recent_ratio": 0.2}, "ignore_eos": True}
    whole = ask(client, extra_body=cut, max_tokens=120)
    kv = whole.usage.kv
    assert kv["policy"] == "lethe" and kv["options"]["cap"] == 40
    assert kv["rounds"] > 0 and kv["evicted"] > 0 and kv["peak_slots"] <= 40 + 8 and 0 < kv["dropped_mass"]["max"] < 1
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, extra_body={"kv_policy": {"name": "lethe", "cap": 5, "trigger": "cap"}})
    assert "5" in error.value.message and str(whole.usage.prompt_tokens) in error.value.message


def test_log_probabilities(client):
    choice = ask(client, logprobs=True, top_logprobs=3, max_tokens=12).choices[0]
    assert len(choice.logprobs.content) == 12
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 3
        assert token.logprob == max(t.logprob for t in token.top_logprobs), "greedy takes the likeliest"
        assert token.logprob <= 0


def test_json_schema(client):
    schema = {
        "type": "object",
        "properties": {"sorted": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "minItems": 1, "maxItems": 4}, "ok": {"type": "boolean"}},
        "required": ["sorted", "ok"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    for temperature in [0, 1]:
        choice = ask(client, response_format=form, temperature=temperature, seed=3, max_tokens=900).choices[0]
        assert choice.finish_reason == "stop", choice
        answer = json.loads(choice.message.content)
        assert set(answer) == {"sorted", "ok"} and all(0 <= n <= 99 for n in answer["sorted"]) and isinstance(answer["ok"], bool)
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}})
    assert error.value.param and error.value.param.startswith("response_format")


def test_tools(caller):
    forced = {"type": "function", "function": {"name": "weather"}}
    choice = ask(caller, tools=[WEATHER], tool_choice=forced, max_tokens=900, extra_body={"thinking_token_budget": 0}).choices[0]
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "days"} and 1 <= arguments["days"] <= 7
    name, text = "", ""
    for chunk in ask(caller, tools=[WEATHER], tool_choice=forced, max_tokens=900, extra_body={"thinking_token_budget": 0}, stream=True):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                text += call.function.arguments or ""
    assert name == "weather" and json.loads(text) == arguments


def test_several_answers_are_seeded(client):
    choices = lambda seed: [(c.message.reasoning, c.message.content) for c in ask(client, n=3, temperature=2, seed=seed, max_tokens=40).choices]
    assert choices(1) == choices(1) != choices(2)


def test_completions_echo_and_score_the_prompt(client):
    text = "Sort 41 7 93 20."
    scored = client.completions.create(model=MODEL, prompt=text, max_tokens=0, echo=True, logprobs=1, temperature=0)
    choice = scored.choices[0]
    assert choice.text == text and "".join(choice.logprobs.tokens) == text
    assert choice.logprobs.token_logprobs[0] is None and all(p <= 0 for p in choice.logprobs.token_logprobs[1:])
    several = client.completions.create(model=MODEL, prompt=[text, text + " 5"], max_tokens=4, temperature=0, stop=["\n\n"])
    assert [c.index for c in several.choices] == [0, 1]


def test_errors_have_the_types_that_the_package_knows(client, url):
    with pytest.raises(openai.NotFoundError):
        ask(client, model="gpt-unknown")
    with pytest.raises(openai.AuthenticationError):
        ask(openai.OpenAI(base_url=url, api_key="sk-wrong", max_retries=0))
    for field, value in [("temperature", -1), ("top_p", 0), ("n", 0), ("max_tokens", -5), ("messages", []), ("stop", "")]:
        with pytest.raises(openai.BadRequestError) as error:
            ask(client, **{field: value})
        assert error.value.param == field and field in error.value.message, error.value
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, extra_body={"no_such_field": 1})
    assert "no_such_field" in error.value.message


def test_the_rust_crate(url):
    manifest = str(ROOT / "clients/rust/Cargo.toml")
    ran = subprocess.run(["cargo", "run", "--quiet", "--locked", "--manifest-path", manifest, "--", url, KEY], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
