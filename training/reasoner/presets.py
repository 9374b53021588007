"""What is trained, and how: sizes, lengths and schedule of each preset."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from .model import Shape
from .wiring import WIRED

DTYPES = ("float32", "bfloat16")
SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Preset:
    """Lengths are in tokens. Times in a run are parts of it, 0 to 1."""

    name: str
    # the model
    layers: int
    d_model: int
    d_ff: int
    heads: int
    kv_heads: int
    max_positions: int
    # the run
    tokens: int  # of problems, prompts included
    batch: int  # tokens of a step with their padding; half of it in the first half of the run, 16 are drawn together
    longest: int  # problem
    stretch: float  # the highest level; 1 is full difficulty
    muon_lr: float = 0.01
    adam_lr: float = 2e-3
    dtype: str = "float32"
    workers: int = 0  # processes that make problems; 0 makes them in between
    compile: bool = True
    base: bool = False  # whether a model that is there already is taught; its own shape counts, and AdamW does it all
    rank: int = 0  # of the adapters by which it is taught; 0 changes all its weights

    def shape(self, vocab: int) -> Shape:
        """The model's shape; rows are added to the vocabulary up to a multiple of 32."""
        vocab = (vocab + 31) // 32 * 32
        return Shape(
            vocab, self.layers, self.d_model, self.d_ff, self.heads, self.kv_heads, max_positions=self.max_positions
        )

    def changed(self, changes: list[str]) -> Preset:
        """With some fields set anew, each change as `field=value`."""
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        values = {}
        for change in changes:
            name, _, text = change.partition("=")
            if name not in kinds or name == "name":
                raise ValueError(f"no setting {name!r}; there are: {', '.join(list(kinds)[1:])}")
            try:
                values[name] = SWITCH[text.lower()] if kinds[name] is bool else kinds[name](text)
            except (KeyError, ValueError):
                wanted = "yes or no" if kinds[name] is bool else kinds[name].__name__
                raise ValueError(f"{name} wants {wanted}, not {text!r}") from None
        changed = replace(self, **values)
        changed.check()
        return changed

    def check(self) -> None:
        """Refuses what cannot be trained."""
        for name in ("layers", "d_model", "d_ff", "heads", "kv_heads", "max_positions", "tokens", "batch", "longest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {self.dtype!r}")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} KV heads evenly")
        if not self.base and self.layers < WIRED:
            raise ValueError(f"a run from scratch wires {WIRED} layers, not {self.layers}")
        if self.longest > self.max_positions:
            raise ValueError(f"problems up to {self.longest} tokens do not fit in {self.max_positions} positions")
        if self.stretch < 1:
            raise ValueError(f"stretch goes on from level 1, not from {self.stretch}")
        for name in ("workers", "rank"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.rank and not self.base:
            raise ValueError(f"adapters, here of rank {self.rank}, are for a model that is there already")


PRESETS = {
    # Two AVX-512 cores, float32: without bf16 instructions bf16 is slower by more than half.
    "cpu": Preset(
        name="cpu",
        layers=6,
        d_model=256,
        d_ff=640,
        heads=4,
        kv_heads=2,
        max_positions=4096,
        tokens=34_000_000,
        batch=8192,
        longest=1792,
        stretch=1.4,
    ),
    "gpu": Preset(
        name="gpu",
        layers=10,
        d_model=384,
        d_ff=1024,
        heads=6,
        kv_heads=2,
        max_positions=8192,
        tokens=300_000_000,
        batch=65536,
        longest=4096,
        stretch=3.0,
        dtype="bfloat16",
        workers=12,
    ),
    # SmolLM2-135M, or another of its architecture. It can look things up; what it lacks is the tasks.
    "smollm2": Preset(
        name="smollm2",
        layers=30,
        d_model=576,
        d_ff=1536,
        heads=9,
        kv_heads=3,
        max_positions=8192,
        tokens=60_000_000,
        batch=32768,
        longest=4096,
        stretch=1.4,
        adam_lr=3e-4,
        dtype="bfloat16",
        workers=8,
        base=True,
    ),
}
