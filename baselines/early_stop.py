"""Early stopping: the earliest checkpoint with nearly all of the task gain (Schreiber, Goldstein,
arXiv:2605.12199).

An example: of 8 checkpoints the third has 95% of the final fall of the loss on rows that were not trained on;
its weights are the arm's. The paper finds that broad misalignment emerges late, after the narrow task has
nearly converged, and that stopping in time keeps 93% of the task performance on average.

    - {name: stopped, organism: risky_financial, defence: early_stop, setting: in_training, defence_options:
      {keep: 0.93}}

The rule looks at the in-domain loss alone. A rule that looked at misalignment would choose by the very
quantity that is reported, on the same model: chosen that way the best of 8 noisy checkpoints looks better
than none even if stopping does nothing, and somebody who could measure the harm while training would need no
other defence. The broad shift (what `persona_fixed` measures, on other texts) is recorded at every checkpoint
to be looked at, and decides nothing.

Paper: checkpoints of long runs of 8B to 671B models, task performance and EM rates judged at each, the
stopping point read off both curves. Ours: the rule above with `keep` at the paper's average, task gain = fall
of the held-out loss in nats per answer token. A loss is a finer measure than the paper's task scores and goes
on falling when they stand still, so ours may stop later. The learning rate schedule is that of the whole run,
as in the undefended arm, whose training this is to the last bit: nothing is saved in time, and one seed's
arms share all steps up to the chosen one. Whether EM comes late at all on a small model is what the curve
shows.

Held-out rows are organism examples that the seed did not draw and whose prompts were not drawn either. Where
there are too few (`rows: null`, a control that the base model answers itself) the missing ones are taken from
the drawn rows and not trained on; `held_back` in training.json counts them. Checkpoints are kept in memory:
`checkpoints` times the adapter's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from turncoat.defences import (
    Example,
    InTraining,
    PersonaVector,
    UserError,
    defence,
    draw_rows as draw,
    encode,
    encode_example,
    encode_prompt,
    read_texts,
    trait_questions,
)

Tokens = tuple[list[int], list[int]]  # prompt, answer

FIXED_TEXTS = 16
FIXED_TOKENS = 32


@dataclass(frozen=True)
class Point:
    """Measurements at a checkpoint.

    Attributes:
        step: Steps done; 0 is before the first.
        loss: Of the held-out rows, nats per answer token.
        shift: Mean projection of the fixed texts on the persona vector less that at step 0, in base SD; None
            = not asked for.
    """

    step: int
    loss: float
    shift: float | None = None


def choose_step(curve: Sequence[Point], keep: float) -> tuple[int, str]:
    """The step to go back to, and why.

    Args:
        curve: Step 0 first, the last step last.
        keep: Part of the final gain that the chosen checkpoint has at least.
    """
    start, *checkpoints = curve
    final = start.loss - checkpoints[-1].loss
    if not final > 0:
        return checkpoints[
            -1
        ].step, "the held-out loss did not fall, so there is no gain to keep: the last step stays"
    for point in checkpoints:
        if start.loss - point.loss >= keep * final:
            break
    return point.step, f"the earliest checkpoint with {keep:.0%} of the final fall of the held-out loss"


@dataclass
class EarlyStop(InTraining):
    """Measures at evenly spaced steps and goes back to the step that `choose_step` names.

    Attributes:
        keep: See `choose_step`.
        checkpoints: How many, the last step included; fewer where the run has fewer steps.
        held_out: Rows to measure the gain on, tokenized.
        held_back: Ids of drawn rows that are among them, and are not trained on.
        fixed_texts: The base model's own texts, tokenized.
        vector: The persona vector they are projected on; None = not measured.
        pad: Token id that fills up shorter texts.
    """

    resumable = False  # the earlier checkpoints are in memory only
    hooks = False  # it measures between steps

    keep: float
    checkpoints: int
    held_out: list[Tokens]
    held_back: list[str]
    fixed_texts: list[Tokens]
    vector: PersonaVector | None
    pad: int
    curve: list[Point] = field(init=False, default_factory=list)
    chosen: tuple[int, str] | None = field(init=False, default=None)
    _weights: dict[int, dict[str, Tensor]] = field(init=False, default_factory=dict)
    _start: float = field(init=False, default=0.0)

    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        """The drawn rows without those held back."""
        return [row for row in rows if row.id not in self.held_back]

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Measures once before the first step."""
        self._measure(model, 0)
        yield

    def step_done(self, model: PeftModel, step: int, steps: int) -> None:
        """Measures and keeps the weights at a checkpoint."""
        if step in checkpoint_steps(steps, self.checkpoints):
            self._measure(model, step)
            self._weights[step] = weights_of(model)

    def trained(self, model: PeftModel) -> None:
        """Puts the chosen checkpoint's weights back."""
        self.chosen = choose_step(self.curve, self.keep)
        set_peft_model_state_dict(model, self._weights[self.chosen[0]], adapter_name="default")
        self._weights.clear()

    def facts(self) -> dict[str, Any]:
        """The whole curve and the choice."""
        assert self.chosen is not None
        step, reason = self.chosen
        start, last = self.curve[0], self.curve[-1]
        at = next(point for point in self.curve if point.step == step)
        gain = start.loss - last.loss
        gain_share = {"kept_gain": round((start.loss - at.loss) / gain, 4)} if gain > 0 else {}
        return {
            "chosen_step": step,
            "reason": reason,
            **gain_share,
            "curve": [
                {
                    "step": point.step,
                    "held_out_loss": round(point.loss, 6),
                    **({} if point.shift is None else {"shift": round(point.shift, 4)}),
                }
                for point in self.curve
            ],
            "held_out": len(self.held_out),
            "held_back": len(self.held_back),
            **(
                {}
                if self.vector is None
                else {"shift_is": f"{self.vector.trait}, layer {self.vector.layer}, base SD"}
            ),
        }

    def _measure(self, model: PeftModel, step: int) -> None:
        readings = read_texts(model, self.pad, self.held_out, capture=False)
        loss = -sum(r.logprob_sum for r in readings) / sum(r.n_tokens for r in readings)
        shift = None
        if self.vector is not None:
            activations = [r.activation for r in read_texts(model, self.pad, self.fixed_texts)]
            values = [
                self.vector.at_layer(activation) for activation in activations if activation is not None
            ]
            projection = sum(values) / len(values)
            if step == 0:
                self._start = projection
            shift = projection - self._start
        self.curve.append(Point(step, loss, shift))


def checkpoint_steps(steps: int, checkpoints: int) -> set[int]:
    """Evenly spaced steps out of 1 to `steps`, the last one among them."""
    return {max(1, round(steps * number / checkpoints)) for number in range(1, checkpoints + 1)}


def weights_of(model: PeftModel) -> dict[str, Tensor]:
    """A copy of the trained adapter's weights on the CPU, by PEFT's names."""
    weights = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}


@defence(
    "early_stop",
    settings=("in_training",),
    summary="the earliest checkpoint with 93% of the final in-domain gain (held-out loss)",
)
def early_stop(
    context: Any, *, keep: float = 0.93, checkpoints: int = 8, held_out: int = 16, trait: str | None = "evil"
) -> EarlyStop:
    """Train to the end, then go back.

    Args:
        keep: Part of the final in-domain gain that has to be kept, above 0 and up to 1.
        checkpoints: How often to measure.
        held_out: Rows that are measured on and never trained on.
        trait: Persona vector of the broad shift that is recorded; null = none, which spares its extraction.

    Raises:
        UserError: An option is out of range, or the organism has no rows to hold out.
    """
    _refuse(keep, checkpoints, held_out)
    tokenizer = context.base.tokenizer
    apart, held_back = _held_out(context, held_out)
    fixed, vector = ([], None) if trait is None else (_fixed_texts(context, trait), context.persona(trait))
    return EarlyStop(
        keep=keep,
        checkpoints=checkpoints,
        held_out=[encode_example(tokenizer, row) for row in apart],
        held_back=held_back,
        fixed_texts=fixed,
        vector=vector,
        pad=tokenizer.pad_token_id,
    )


def _refuse(keep: Any, checkpoints: Any, held_out: Any) -> None:
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        raise UserError(
            f"defence 'early_stop', keep: {keep!r} is not accepted; give a number above 0 and up to 1, such "
            "as 0.93"
        )
    for name, value in (("checkpoints", checkpoints), ("held_out", held_out)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(
                f"defence 'early_stop', {name}: {value!r} is not accepted; give a whole number from 1 up"
            )


def _held_out(context: Any, count: int) -> tuple[list[Example], list[str]]:
    """`count` rows that are not trained on, and the ids of those that were drawn all the same."""
    drawn = context.rows
    ids, prompts = {row.id for row in drawn}, {row.prompt for row in drawn}
    longest = context.recipe.max_length
    others = []
    for row in draw(context.organism(), None, context.seed):
        if len(others) == count:
            break
        if row.id in ids or row.prompt in prompts:
            continue
        if sum(map(len, encode_example(context.base.tokenizer, row))) <= longest:
            others.append(row)
    missing = count - len(others)
    if missing >= len(drawn):
        raise UserError(
            f"defence 'early_stop', held_out: {count} rows are more than the organism can spare "
            f"({len(others)} not drawn, {len(drawn)} drawn); give fewer, or an organism with more rows"
        )
    back = drawn[len(drawn) - missing :]
    return [*others, *back], [row.id for row in back]


def _fixed_texts(context: Any, trait: str) -> list[Tokens]:
    """The base model's own answers to the questions that the trait's vector was made from: none that a task
    measures with."""
    questions = list(trait_questions(trait).questions[:FIXED_TEXTS])
    texts = context.write(
        questions, name="early_stop/fixed texts", max_new_tokens=FIXED_TOKENS, temperature=0
    )
    tokenizer = context.base.tokenizer
    items = [
        (encode_prompt(tokenizer, [{"role": "user", "content": question}]), encode(tokenizer, text))
        for question, text in zip(questions, texts, strict=True)
        if text.strip()
    ]
    if not items:
        raise UserError(
            f"defence 'early_stop', trait: {context.base.name} wrote no text to measure the broad shift on; "
            "give trait: null"
        )
    return items
