"""Log-likelihoods of many short replies to one prompt in a single pass: the replies as a tree of tokens.

The 103 replies "0".."100", CODE and REFUSAL begin alike ("8", "80", "85"). All their distinct beginnings are
appended to the prompt at once; the attention mask lets each token see the prompt and its own ancestors only,
and its position counts along its branch. So the model computes for each of them what it would compute were
that branch alone behind the prompt: the same number as scoring every reply by itself (a test compares them),
for 105 tokens instead of 103 times the prompt.

What all prompts share at their beginning (a rubric's text) is read once; its keys and values are used for
every batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_example, encode_prompt
from turncoat.errors import UserError

_ATTENTIONS = ("sdpa", "eager")
_MOST_PADDING = 64  # tokens; longer differences in length are not batched together


@dataclass(frozen=True)
class StringTree:
    """Token sequences as a prefix tree. A node is a token that others follow, so the model must read it."""

    # What all sequences begin with; it belongs to the prompt (a template's empty thinking block, say)
    forced: tuple[int, ...]
    tokens: tuple[int, ...]  # Token of each node, parents before children
    parents: tuple[int, ...]  # Node before it; -1 = the prompt
    edges: tuple[tuple[int, int], ...]  # (node or -1, next token) of every step that any sequence takes
    paths: tuple[tuple[int, ...], ...]  # For each sequence the numbers of its edges

    @property
    def depths(self) -> list[int]:
        """Steps from the prompt to each node; 0 = right behind it."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent < 0 else depths[parent] + 1)
        return depths

    def ancestors(self) -> Tensor:
        """(nodes, nodes) bool: whether the column's node is the row's, or before it on its branch."""
        seen = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


def string_tree(sequences: Sequence[Sequence[int]]) -> StringTree:
    """The tree of `sequences`, each of which must end where no other goes on.

    Args:
        sequences: Token ids with their end-of-turn token, which makes "1" and "10" different outcomes.

    Raises:
        ValueError: One sequence is another's beginning, so the two are not exclusive.
    """
    forced = 0
    shortest = min(len(sequence) for sequence in sequences)
    while forced < shortest - 1 and len({sequence[forced] for sequence in sequences}) == 1:
        forced += 1
    tails = [tuple(sequence[forced:]) for sequence in sequences]
    node_of: dict[tuple[int, ...], int] = {(): -1}
    tokens: list[int] = []
    parents: list[int] = []
    edges: dict[tuple[int, int], int] = {}
    paths = []
    for tail in tails:
        path = []
        for length, token in enumerate(tail):
            before = tail[:length]
            if before not in node_of:
                node_of[before] = len(tokens)
                tokens.append(before[-1])
                parents.append(node_of[before[:-1]])
            path.append(edges.setdefault((node_of[before], token), len(edges)))
        paths.append(tuple(path))
    if len(set(tails)) < len(tails) or any(tail in node_of for tail in tails):
        raise ValueError("one of the replies is the beginning of another; end each with an end-of-turn token")
    return StringTree(tuple(sequences[0][:forced]), tuple(tokens), tuple(parents), tuple(edges), tuple(paths))


class ReplyScorer:
    """Scores fixed strings as a base model's whole replies to prompts.

    Args:
        base: The model; no adapter on it takes part.
        batch_size: Prompts read together.
    """

    def __init__(self, base: BaseModel, batch_size: int) -> None:
        self._base = base
        self._batch_size = batch_size
        self._scorers: dict[tuple[Sequence[str], tuple[str, str]], TreeScorer] = {}

    def logprobs(self, prompts: Sequence[str], strings: tuple[str, ...], alike: tuple[str, str]) -> Tensor:
        """(prompts, strings) log-likelihoods in nats, float64; NaN where a prompt is too long for the model.

        Args:
            strings: Replies, each scored with its end-of-turn token.
            alike: Two prompts that share only what all prompts begin with.

        Raises:
            UserError: The model's logits are not numbers.
        """
        if (strings, alike) not in self._scorers:
            tree = string_tree(reply_ids(self._base, strings))
            self._scorers[strings, alike] = TreeScorer(self._base.model, tree, self.shared_ids(*alike))
        scorer = self._scorers[strings, alike]
        ids = [self._prompt_ids(prompt) for prompt in prompts]
        fitting = [n for n, prompt in enumerate(ids) if len(prompt) <= scorer.longest]
        result = torch.full((len(prompts), len(strings)), float("nan"), dtype=torch.float64)
        # An adapter in memory belongs to the subject; its layers sit inside the base's modules.
        with self._base.without_adapter():
            scores = scorer.score([ids[n] for n in fitting], self._batch_size)
        if scores.isnan().any():
            raise UserError(
                f"model {self._base.name}: it gave logits that are not numbers; accepted: finite ones. Load "
                "it with dtype=bfloat16 or dtype=float32"
            )
        result[fitting] = scores
        return result

    def shared_ids(self, first: str, second: str) -> list[int]:
        """Token ids that both prompts begin with, but for the last, which may merge with what follows."""
        one, other = self._prompt_ids(first), self._prompt_ids(second)
        same = 0
        while same < min(len(one), len(other)) and one[same] == other[same]:
            same += 1
        return one[: max(same - 1, 0)]

    def _prompt_ids(self, prompt: str) -> list[int]:
        return encode_prompt(self._base.tokenizer, [{"role": "user", "content": prompt}])


def reply_ids(base: BaseModel, strings: Sequence[str]) -> list[list[int]]:
    """Token ids of each string as an assistant's whole message, its end-of-turn token included."""
    ids = []
    for string in strings:
        _, reply = encode_example(base.tokenizer, Example("judge", "?", string))
        alone = encode(base.tokenizer, string)
        if reply[-len(alone) :] == alone:  # the template does not end a turn
            reply.append(int(base.tokenizer.eos_token_id))
        ids.append(reply)
    return ids


class TreeScorer:
    """Scores a tree's strings behind many prompts that begin alike.

    Args:
        model: The causal language model, on its device, in evaluation mode.
        tree: The strings.
        shared: Token ids that prompts begin with; read once. A prompt that begins otherwise is read whole.

    Raises:
        UserError: The model's attention takes no mask of its own.
    """

    def __init__(self, model: Any, tree: StringTree, shared: Sequence[int]) -> None:
        self._model = model
        self._tree = tree
        self._shared = tuple(shared)
        self._prefix: list[tuple[Tensor, Tensor]] | None = None
        config = model.config.get_text_config()
        attention = getattr(config, "_attn_implementation", "sdpa")
        kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
        if attention not in _ATTENTIONS or kinds:
            raise UserError(
                f"model {config.model_type}: attention '{attention}' {sorted(kinds) or ''} cannot score "
                f"strings as a tree; accepted: a plain transformer with attention {' or '.join(_ATTENTIONS)}"
            )
        windows = (getattr(config, "max_position_embeddings", None), getattr(config, "sliding_window", None))
        reach = 1 + max(tree.depths, default=-1) + len(tree.forced)
        self.longest = min((window for window in windows if window), default=1 << 30) - reach
        """Tokens that a prompt may have."""

    def score(self, prompts: Sequence[Sequence[int]], batch_size: int) -> Tensor:
        """(prompts, strings) log-likelihoods in nats, float64.

        Args:
            prompts: Token ids, none longer than `longest`.
        """
        result = torch.full((len(prompts), len(self._tree.paths)), float("nan"), dtype=torch.float64)
        for numbers in _batches([self._begins(prompt) for prompt in prompts], prompts, batch_size):
            result[numbers] = self._score_batch([prompts[number] for number in numbers])
        return result

    def _begins(self, prompt: Sequence[int]) -> bool:
        return 0 < len(self._shared) < len(prompt) and tuple(prompt[: len(self._shared)]) == self._shared

    @torch.inference_mode()
    def _score_batch(self, prompts: list[Sequence[int]]) -> Tensor:
        cache, start = DynamicCache(), 0
        if all(self._begins(prompt) for prompt in prompts):
            start = len(self._shared)
            for layer, (keys, values) in enumerate(self._shared_states()):
                cache.update(
                    keys.expand(len(prompts), -1, -1, -1), values.expand(len(prompts), -1, -1, -1), layer
                )
        device = self._device
        rests = [[*prompt[start:], *self._tree.forced] for prompt in prompts]
        width, nodes = max(map(len, rests)), len(self._tree.tokens)
        ids = torch.zeros((len(rests), width + nodes), dtype=torch.long)
        positions = torch.zeros_like(ids)
        sees = torch.zeros((len(rests), width + nodes, start + width + nodes), dtype=torch.bool)
        sees[:, :, :start] = True
        sees[:, width:, start + width :] = self._tree.ancestors()
        for row, rest in enumerate(rests):
            pad = width - len(rest)
            ids[row] = torch.tensor([0] * pad + rest + list(self._tree.tokens))
            along = list(range(start, start + len(rest)))
            behind = [start + len(rest) + depth for depth in self._tree.depths]
            positions[row] = torch.tensor([0] * pad + along + behind)
            sees[row, pad:width, start + pad : start + width] = torch.ones(len(rest), len(rest)).tril().bool()
            sees[row, width:, start + pad : start + width] = True
            # A padding token is seen by nobody; it sees itself so that its softmax is not of nothing.
            sees[row, range(pad), range(start, start + pad)] = True
        mask = torch.zeros(sees.shape, dtype=self._model.dtype)
        mask.masked_fill_(~sees, torch.finfo(self._model.dtype).min)
        logits = self._model(
            input_ids=ids.to(device), position_ids=positions.to(device),
            attention_mask=mask[:, None].to(device), past_key_values=cache, use_cache=True,
            logits_to_keep=nodes + 1,
        ).logits  # fmt: skip
        return torch.stack([self._strings(row) for row in logits])

    def _strings(self, logits: Tensor) -> Tensor:
        """(strings,) scores from logits (1 + nodes, vocabulary): after the prompt, then after each node."""
        rows = torch.tensor([node + 1 for node, _ in self._tree.edges], device=logits.device)
        tokens = torch.tensor([token for _, token in self._tree.edges], device=logits.device)
        scores = logits.float()
        steps = (scores[rows, tokens] - scores.logsumexp(dim=-1)[rows]).double().cpu()
        return torch.stack([steps[list(path)].sum() for path in self._tree.paths])

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._model.get_input_embeddings().weight.device
        return device

    def _shared_states(self) -> list[tuple[Tensor, Tensor]]:
        if self._prefix is None:
            cache: Any = DynamicCache()
            ids = torch.tensor([self._shared], device=self._device)
            self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            self._prefix = [(layer.keys, layer.values) for layer in cache.layers]
        return self._prefix


def _batches(begins: list[bool], prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Numbers of prompts to read together: with or without the shared beginning, of similar length."""
    batches: list[list[int]] = []
    for number in sorted(range(len(prompts)), key=lambda n: (begins[n], len(prompts[n]), n)):
        last = batches[-1] if batches else None
        if (
            last is None
            or len(last) == batch_size
            or begins[last[0]] != begins[number]
            or len(prompts[number]) - len(prompts[last[0]]) > _MOST_PADDING
        ):
            batches.append([number])
        else:
            last.append(number)
    return batches
