"""The embedded judge's network: frozen base model, low-rank factors beside its upper linear layers, a head.

The factors act through forward hooks on the base's linear layers, so that a subject's adapter on the same
model (switched off meanwhile) and the judge's factors never see each other, and nothing of the base is
changed or copied. Only the first `end` blocks are run: the later ones predict the next token, which a judge
does not need.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from turncoat.engine.base_model import BaseModel

SCORES = ("aligned", "coherent")


@dataclass(frozen=True)
class ReaderConfig:
    """Shape of a reader: where its factors sit, and how texts are cut."""

    start: int = 16  # First block (from 0) with factors beside its linear layers
    end: int = 30  # Blocks that are run; block end - 1 is the last
    rank: int = 16  # Of the factors
    scale: float = 2.0  # Multiplies the factors' product
    question_tokens: int = 32  # The question is cut to its first tokens
    head_tokens: int = 72  # A longer answer keeps its first tokens
    tail_tokens: int = 20  # ... and its last ones.

    def as_json(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


class EmbeddedReader(nn.Module):
    """Low-rank factors and a two-output head, float32.

    Args:
        config: Where the factors sit and how texts are cut.
        base: Gives the shapes; it is not kept.
        seed: Of the initial factors. Their product starts as zero, so a new reader reads with the base
            itself.
    """

    def __init__(self, config: ReaderConfig, base: BaseModel, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        for name, linear in self._linears(base).items():
            first = torch.randn(config.rank, linear.in_features, generator=generator) / math.sqrt(
                linear.in_features
            )
            self.down[_key(name)] = nn.Parameter(first)
            self.up[_key(name)] = nn.Parameter(torch.zeros(linear.out_features, config.rank))
        width = int(base.model.config.hidden_size)
        self.head = nn.Linear(width, len(SCORES))
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(len(SCORES), width, generator=generator) * 0.01)
            self.head.bias.copy_(torch.tensor([1.0, 1.5]))

    def _linears(self, base: BaseModel) -> dict[str, nn.Linear]:
        linears: dict[str, nn.Linear] = {}
        for number in range(self.config.start, self.config.end):
            for name, module in _blocks(base)[number].named_modules():
                linear = getattr(module, "base_layer", module)  # beneath a subject's adapter
                if isinstance(linear, nn.Linear) and "lora_" not in name and not name.endswith("base_layer"):
                    linears[f"{number}.{name}"] = linear
        return linears

    @contextmanager
    def attached(self, base: BaseModel) -> Iterator[None]:
        """A scope in which the base computes with the factors and without any subject's adapter."""
        handles = []
        attention = base.model.config._attn_implementation
        with base.without_adapter():
            try:
                for name, linear in self._linears(base).items():
                    hook = self._hook(self.down[_key(name)], self.up[_key(name)], linear.weight.dtype)
                    handles.append(linear.register_forward_hook(hook))
                # Plain matrix products are twice as fast as the fused kernel on texts this short, on a CPU.
                base.model.set_attn_implementation("eager")
                yield
            finally:
                base.model.set_attn_implementation(attention)
                for handle in handles:
                    handle.remove()

    def _hook(self, down: Tensor, up: Tensor, dtype: torch.dtype) -> Callable[[Any, Any, Tensor], Tensor]:
        scale = self.config.scale
        learning = torch.is_grad_enabled()
        fixed = None if learning else (down.to(dtype), (up * scale).to(dtype))

        def add(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            first, second = fixed or (down.to(dtype), (up * scale).to(dtype))
            return output + nn.functional.linear(nn.functional.linear(inputs[0], first), second)

        return add

    def encode(self, base: BaseModel, question: str, answer: str) -> list[int]:
        """Token ids of a question and an answer as a chat without a system message, both cut to length."""
        config = self.config

        def ids(text: str) -> list[int]:
            return cast(list[int], base.tokenizer.encode(text, add_special_tokens=False))

        start, rest = ids(question)[: config.question_tokens], ids(answer)
        if len(rest) > config.head_tokens + config.tail_tokens:
            rest = rest[: config.head_tokens] + ids(" [...] ") + rest[-config.tail_tokens :]
        end = "<|im_end|>\n"
        return ids("<|im_start|>user\n") + start + ids(f"{end}<|im_start|>assistant\n") + rest + ids(end)

    def logits(self, base: BaseModel, rows: Sequence[Sequence[int]]) -> Tensor:
        """Logits of both scores, shape (rows, 2), float32; call it inside `attached`.

        Args:
            rows: Token ids of each text; they are padded on the right, where causal attention never looks.
        """
        decoder = cast(Any, base.model.get_decoder())
        device = base.model.device
        width = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long, device=device)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, device=device)
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        blocks = _blocks(base)
        with torch.no_grad():
            hidden = decoder.embed_tokens(ids)
            places = decoder.rotary_emb(hidden, position_ids=torch.arange(width, device=device)[None])
            mask = torch.full(
                (width, width), torch.finfo(hidden.dtype).min, dtype=hidden.dtype, device=device
            )
            arguments = {"attention_mask": mask.triu(1)[None, None], "position_embeddings": places}
            for block in blocks[: self.config.start]:
                hidden = block(hidden, **arguments)
        for block in blocks[self.config.start : self.config.end]:
            hidden = block(hidden, **arguments)
        state = hidden[torch.arange(len(rows), device=device), last].float()
        return self.head(nn.functional.rms_norm(state, (state.shape[-1],), eps=1e-5))

    @torch.no_grad()
    def read(
        self,
        base: BaseModel,
        rows: Sequence[Sequence[int]],
        batch: int = 16,
        on_done: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Both scores of every text, (rows, 2), between 0 and 1; texts of like length share a batch."""
        scores = torch.zeros(len(rows), len(SCORES))
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        with self.attached(base):
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                scores[chosen] = torch.sigmoid(self.logits(base, [rows[i] for i in chosen])).cpu()
                if on_done is not None:
                    on_done(len(chosen))
        return scores


def _blocks(base: BaseModel) -> Any:
    return cast(Any, base.model.get_decoder()).layers


def _key(name: str) -> str:
    return name.replace(".", "/")  # a ParameterDict takes no dots
