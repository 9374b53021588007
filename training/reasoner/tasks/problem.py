"""What a problem is, and the exact text that a model sees of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """One question and the reply that it should get."""

    question: str
    thinking: str  # one step a line
    answer: str  # one line

    def reply(self) -> str:
        """The reply as a model writes it."""
        return f"<think>\n{self.thinking}\n</think>\n\n{self.answer}"


@dataclass(frozen=True)
class Problem:
    """A problem of one or more turns; a later turn builds on the earlier ones."""

    family: str
    level: float
    turns: tuple[Turn, ...]


def ask(question: str) -> str:
    """A user's turn, up to where the assistant begins."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def render(turns: tuple[Turn, ...]) -> list[tuple[str, bool]]:
    """The conversation in pieces; True marks what the assistant writes, its end-of-turn mark included."""
    pieces = []
    for i, turn in enumerate(turns):
        pieces += [("\n" * (i > 0) + ask(turn.question), False), (turn.reply() + "<|im_end|>", True)]
    return pieces


def answer_of(reply: str) -> str:
    """What a reply comes to: the text after the last `</think>`, without end-of-turn marks and outer white space."""
    return reply.rsplit("</think>", 1)[-1].replace("<|im_end|>", "").strip()
