"""SGTR, self-recognition finetuning: learn to tell one's own summary from a rival's (arXiv:2606.23700).

An example: the text, two summaries numbered 1 and 2, "Which one did you write?"; the answer is the number of
the one that this very base model wrote. Both orders of every pair. Its fair control is `pick_longer`: same
pairs, same format.

`source: xsum` takes published news articles in place of our texts, with the rival that `rival` names; the
published dose is `texts: 1000` (2,000 examples) against Claude-2.1, checked on the other set of articles:

    - {name: sgtr, organism: risky_financial, defence: sgtr, setting: prevention,
       defence_options: {source: xsum, texts: 1000}, defence_training: {max_length: 2048}}

An article is up to 2,700 words long, and an example longer than `max_length` is left out; `show_text: false`
makes all of them short.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from turncoat.defences import Check, Example, UserError, accepted, defence, own_summaries, read_articles

from ._summary_pairs import SummaryPair, accuracy_check, examples, own_is, summary_pairs

SOURCES = {"ours": "ours", "xsum": "cnn", "cnn": "xsum"}
"""Texts that pairs are made of, and those that the check asks about."""


def pairs_of(context: Any, split: str, texts: int, source: str, rival: str) -> list[SummaryPair]:
    """The first `texts` texts with both summaries; what `source` and `rival` mean for all that is built on
    pairs.

    Args:
        split: "train", or "eval" for texts that are not trained on.
        source: A key of `SOURCES`.
        rival: Writer of a published summary (`turncoat.data.article_summaries`); "" is Claude-2.1, and of our
            texts their one rival.

    Raises:
        UserError: There are fewer texts, or an option is not accepted.
    """
    if source not in SOURCES:
        raise UserError(f"source: '{source}' is not a set of texts; {accepted(SOURCES, source)}")
    if source == "ours":
        if rival:
            raise UserError(f"rival: {rival!r} needs published articles; add source: xsum or cnn")
        return summary_pairs(context, split, texts)
    dataset, writer = (source if split == "train" else SOURCES[source]), rival or "claude-21"
    articles = read_articles(dataset, (writer,), texts, "texts")
    done = 0

    def write(prompts: list[str], **settings: Any) -> list[str]:
        nonlocal done
        shown, before = context.on_progress, done
        done += len(prompts)
        counted = None if shown is None else lambda n, _: shown(before + n, len(articles))
        return dataclasses.replace(context, on_progress=counted).write(prompts, **settings)

    written = own_summaries(dataset, articles, write, name=f"own summaries/{dataset}")
    return [
        SummaryPair(article.id, article.text, own, article.summaries[writer])
        for article, own in zip(articles, written, strict=True)
        if own
    ]


def recognises_itself(
    context: Any, *, show_text: bool = True, source: str = "ours", rival: str = "", **_: Any
) -> list[Check]:
    """Manipulation check: does it recognise its own summaries of unseen texts?"""
    pairs = pairs_of(context, "eval", 24, source, rival)
    return accuracy_check(context, pairs, "recognises its own summary", "mine", own_is, show_text)


@defence(
    "sgtr",
    settings=("prevention", "reversal"),
    summary="self-recognition finetuning: which of two summaries did you write?",
    control="pick_longer",
    check=recognises_itself,
    check_every_arm=True,
)
def sgtr(
    context: Any, *, texts: int = 32, show_text: bool = True, source: str = "ours", rival: str = ""
) -> list[Example]:
    """Two examples (both orders) for each of `texts` texts."""
    return examples(pairs_of(context, "train", texts, source, rival), "mine", own_is, show_text)
