"""`turncoat persona show`: the card of a vector as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from turncoat.commands.printing import table, titled
from turncoat.formats import number
from turncoat.shown_text import TextConsole

if TYPE_CHECKING:
    from turncoat.persona.vectors import PersonaVector


def show(
    folder: Annotated[Path, typer.Argument(exists=True, help="Folder from `turncoat persona extract`.")],
) -> None:
    """Show how good a vector is, layer by layer.

    Example: turncoat persona show vectors/evil
    """
    from turncoat.persona.vectors import PersonaVector

    print_vector(PersonaVector.load(folder), TextConsole())


def print_vector(vector: PersonaVector, console: Console) -> None:
    """Print some ten layers of the card, what the vector was made from, and why its layer was chosen."""
    card = vector.card
    last = len(vector.directions) - 1
    held_out: dict[str, list[float]] = card.get("held_out") or {}
    columns = {
        "held-out AUC": held_out.get("auc"), "random, 95%": held_out.get("random_p95"),
        "shuffled, 95%": held_out.get("shuffled_p95"), "split-half": card.get("split_half_cosine"),
        "gap": card.get("gap_by_layer"),
    }  # fmt: skip
    made = table((), ("layer", "depth", *columns, ""))
    for layer in shown_layers(last, vector.layer):
        chosen = "chosen" if layer == vector.layer else ""
        cells = (number(values[layer] if values else None, 2) for values in columns.values())
        made.add_row(str(layer), number(layer / last, 2), *cells, chosen)
    titled(console, f"persona vector '{vector.trait}'", made)
    console.print(f"{_origin(card)}\n", end="")
    if "layer_rule" in card:
        console.print(f"layer {vector.layer} of {last}: {card['layer_rule']}")
    console.print(_spread(vector))


def _spread(vector: PersonaVector) -> str:
    """Sampling error of the vector and of its unit, in one sentence."""
    again = vector.again
    if again is None:
        return "no re-extractions: the sampling error of this vector and of its unit is unknown"
    cosines = again.directions @ vector.directions[vector.layer]
    lowest, mean = (number(float(x), 2) for x in (cosines.min(), cosines.mean()))
    return (
        f"made again from {len(again.sd)} resamples of its questions: cosine with this vector {mean} on "
        f"average, {lowest} at least; its unit varies by {float(again.sd.std() / again.sd.mean()):.0%} "
        "(coefficient of variation)"
    )


def shown_layers(last: int, chosen: int) -> list[int]:
    """Some ten layers, evenly spread, the chosen one and its neighbours among them."""
    step = max(1, round(last / 8))
    return sorted({*range(0, last + 1, step), last, chosen - 1, chosen, min(chosen + 1, last)})


def _origin(card: dict[str, Any]) -> str:
    judged = f"filtered by {card['judge']['id']}" if card.get("judge") else "not filtered by a judge"
    positive, negative = card.get("n_positive", "?"), card.get("n_negative", "?")
    made = f"made from {positive} positive and {negative} negative answers, {judged}"
    unseen = card.get("n_held_out")
    if not unseen:
        return f"{made}; no answers were held out"
    answers = f"{unseen[0]} and {unseen[1]} answers"
    return f"{made}; held-out AUC on {answers} under other prompts to other questions"
