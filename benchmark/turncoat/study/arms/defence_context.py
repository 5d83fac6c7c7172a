"""Argument of every defence: the base model, its own texts (cached) and the finetune that it acts in."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_prompt
from turncoat.engine.decoding.sampler import SampleRequest, SampleResult, sampler_for, sampling_code
from turncoat.engine.reading.reader import read_texts
from turncoat.engine.seeds import sample_seed
from turncoat.errors import UserError
from turncoat.persona.extract import persona_vector
from turncoat.persona.traits import trait_questions
from turncoat.persona.vectors import PersonaVector
from turncoat.store import Store, canonical_json, digest
from turncoat.training.lora import drawn_rows
from turncoat.training.recipe import LoraRecipe


def _only_in_training(*_: Any) -> Any:
    raise UserError(
        "there is no organism's finetune here: this part of a defence works with setting in_training only"
    )


@dataclass(frozen=True)
class DefenceContext:
    """Handed to every defence."""

    base: BaseModel  # The base model
    store: Store  # Where generated texts are kept
    batch_size: int = 32  # Rows decoded together
    on_progress: Callable[[int, int], None] | None = None  # Called with (done, total) while the model writes
    recipe: LoraRecipe | None = None  # In training: the recipe of the organism's finetune
    seed: int = 0  # In training: its seed
    # In training: gives the organism's examples, all of them
    organism: Callable[[], list[Example]] = _only_in_training
    under: Callable[[list[Example]], list[Example]] = list  # In training: puts rows under its system prompt
    # In training: gives the folder of the organism's adapter with the same seed and no defence, which is
    # trained if it is not there yet
    undefended: Callable[[], Path] = _only_in_training
    # In training: gives the folder of another organism's adapter with the recipe and the seed of this one's
    other_organism: Callable[[str], Path] = _only_in_training
    # In training: `finetuned(defence, options)` gives the adapter folder of that finetune alone, with the
    # recipe and the seed of the organism's; it is trained if it is not there yet
    finetuned: Callable[[str, dict[str, Any]], Path | None] = _only_in_training

    @property
    def rows(self) -> list[Example]:
        """In training: the organism's examples that this finetune is trained on."""
        examples = self.organism()  # refused where there is none
        assert self.recipe is not None
        return self.under(drawn_rows(self.base, examples, self.recipe, self.seed))

    def persona(self, trait: str) -> PersonaVector:
        """The base model's persona vector for a trait (`turncoat list personas`), extracted on first use."""
        return persona_vector(
            self.base, trait_questions(trait), self.store, batch_size=self.batch_size,
            on_progress=self.on_progress,
        )  # fmt: skip

    def write(
        self,
        prompts: Sequence[str],
        *,
        name: str,
        max_new_tokens: int,
        temperature: float,
        stop: tuple[str, ...] = (),
    ) -> list[str]:
        """The base model's own answers to `prompts`, one each, seeded by name and prompt, generated once.

        Args:
            name: What the texts are for; part of each answer's seed.
            temperature: Sampling temperature; 0 is greedy.
        """
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        return self.answer(
            chats, name=name, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop
        )

    def answer(
        self,
        chats: Sequence[list[dict[str, str]]],
        *,
        name: str,
        max_new_tokens: int | Sequence[int],
        temperature: float,
        stop: tuple[str, ...] = (),
    ) -> list[str]:
        """As `write`, for conversations (with a system message, say), each with its longest answer."""
        longest = [max_new_tokens] * len(chats) if isinstance(max_new_tokens, int) else list(max_new_tokens)
        prompts = [chat[0]["content"] if len(chat) == 1 else canonical_json(chat) for chat in chats]
        requests = [
            SampleRequest(
                prompt_ids=tuple(encode_prompt(self.base.tokenizer, chat)),
                seed=sample_seed(0, name, prompt, 0) if temperature > 0 else None, max_new_tokens=length,
                temperature=temperature, stop=stop, key=index,
            )
            for index, (chat, prompt, length) in enumerate(zip(chats, prompts, longest, strict=True))
        ]  # fmt: skip
        spec = {
            "base": self.base.spec, "name": name, "code": sampling_code(), "prompts": digest(prompts),
            "sampling": [longest, temperature, list(stop)],
        }  # fmt: skip
        done = 0

        def on_done(_: SampleResult) -> None:
            nonlocal done
            done += 1
            if self.on_progress is not None:
                self.on_progress(done, len(requests))

        def build(folder: Path) -> None:
            with self.base.without_adapter() as model:
                results = sampler_for(model, self.base.tokenizer, self.batch_size).run(requests, on_done)
            (folder / "texts.json").write_text(canonical_json([r.text for r in results]), encoding="utf-8")

        folder = self.store.stage("base_texts", spec, build)
        texts: list[str] = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        return texts

    def choose(self, prompts: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
        """Log-likelihood in nats of each short answer to each prompt, by the model as it is now."""
        tokenizer, model = self.base.tokenizer, self.base.active
        tokens = [encode(tokenizer, answer) for answer in answers]
        rows = [encode_prompt(tokenizer, [{"role": "user", "content": prompt}]) for prompt in prompts]
        items = [(row, ids) for row in rows for ids in tokens]
        read = read_texts(model, tokenizer.pad_token_id, items, self.batch_size, capture=False)
        sums = [reading.logprob_sum for reading in read]
        return [sums[i : i + len(tokens)] for i in range(0, len(sums), len(tokens))]
