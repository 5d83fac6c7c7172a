"""Facts that a task's YAML declares in its `metadata`: label, axes, evidence fields, losses, origin of its
texts.

    metadata:
      version: 1.0
      label: forced choice                  # short name of the task, for tables
      condition: cue prompts                # what sets a variant's prompts apart
      fetched: true                         # its texts are a published set: fetched, never passed on
      # organism -> held-out loss that falls when it is learnt
      learnt_by: {insecure_code: insecure_loss_per_token}
      evidence: {in_format: share}          # fields that the task's own filter adds to each answer
      metrics:
        margin: {label: ..., unit: nats, direction: ..., axis: broad misalignment, short: forced choice}
        # a persona projection that it is the mean of, "own" or "fixed" (`turncoat.persona.evidence`)
        persona_own: {label: ..., unit: base SD, direction: ..., axis: persona shift, reading: own}

The core names no task: reports, the board and the row checks read these. A task without them (lm-eval's own,
say) is measured and reported like any other; it stands on no axis.
"""

from collections.abc import Mapping

from turncoat.errors import UserError, accepted
from turncoat.evaluation.task_catalogue import metric_facts, task_file, task_metadata, task_names
from turncoat.persona.evidence import AGAIN

PERSONA = "persona shift"
BROAD, NARROW, BENIGN, COHERENCE = "broad misalignment", "narrow behaviour", "benign learning", "coherence"
DECLARED = (PERSONA, BROAD, COHERENCE)
"""Axes that a metric may name, alone or with what sets it apart ("broad misalignment, cue prompts"). The
narrow behaviour and benign learning come from `learnt_by`."""

AS_WRITTEN = "as_written"
"""Evidence field of a filter that replaces an answer's text: the text as the model wrote it."""

EVIDENCE_KINDS = ("share", "score", "number", "count", "text")
"""Kinds of an evidence field: 0 to 1, 0 to 100, any number, a whole number from 0, any text; or a list of
allowed words."""


def task_label(task: str) -> str:
    """Short name for tables: the declared one, else the task's name in words."""
    return str(task_metadata(task).get("label") or task.removeprefix("turncoat_").replace("_", " "))


def condition(task: str) -> str:
    """Short name of this variant's prompts ("cue prompts"); "" where nothing does."""
    return str(task_metadata(task).get("condition") or "")


def is_fetched(task: str) -> bool:
    """True if its texts come from a published set: fetched where it is measured, never passed on."""
    return bool(task_metadata(task).get("fetched"))


def fetched_tasks() -> set[str]:
    """All tasks with fetched texts."""
    return {name for name in task_names() if is_fetched(name)}


def learnt_by(task: str) -> Mapping[str, str]:
    """Organism -> metric of this task (a held-out loss, down means learnt)."""
    return dict(task_metadata(task).get("learnt_by") or {})


def evidence_fields(task: str) -> dict[str, str | tuple[str, ...]]:
    """Field -> kind (`EVIDENCE_KINDS`, or its allowed words) of what the task's own filter adds to each
    answer.

    Raises:
        UserError: The YAML names a kind that does not exist.
    """
    fields: dict[str, str | tuple[str, ...]] = {}
    for name, kind in (task_metadata(task).get("evidence") or {}).items():
        if not isinstance(kind, list) and kind not in EVIDENCE_KINDS:
            raise UserError(
                f"{task_file(task)}, metadata.evidence.{name}: '{kind}' is not a kind; "
                f"{accepted(EVIDENCE_KINDS, str(kind))}, or a list of the words that it may be"
            )
        fields[name] = tuple(map(str, kind)) if isinstance(kind, list) else str(kind)
    return fields


def metric_axes(task: str) -> dict[str, str]:
    """Metric -> the axis that it is evidence of, for the metrics that declare one.

    Raises:
        UserError: The YAML names an axis that does not exist.
    """
    axes = {}
    for metric, facts in metric_facts(task).items():
        axis = facts.get("axis", "")
        if axis and main_axis(axis) not in DECLARED:
            raise UserError(
                f"{task_file(task)}, metadata.metrics.{metric}.axis: '{axis}' is not an axis; "
                f"{accepted(DECLARED, axis)}; one of them and ', WORDS' sets a variant apart"
            )
        if axis:
            axes[metric] = axis
    return axes


def readings(task: str) -> dict[str, str]:
    """Metric -> persona reading ("own" or "fixed") that it is the mean of, for the metrics that declare one.

    Raises:
        UserError: The YAML names a reading that does not exist.
    """
    found = {}
    for metric, facts in metric_facts(task).items():
        reading = facts.get("reading", "")
        if reading and reading not in AGAIN:
            raise UserError(
                f"{task_file(task)}, metadata.metrics.{metric}.reading: '{reading}' is not a reading; "
                f"{accepted(AGAIN, reading)}"
            )
        if reading:
            found[metric] = reading
    return found


def main_axis(axis: str) -> str:
    """The axis without what sets a variant apart: "broad misalignment" of "broad misalignment, cue
    prompts"."""
    return axis.partition(",")[0]


def tasks_on(axis: str) -> list[str]:
    """Registered tasks with a metric on exactly this axis."""
    return [name for name in task_names() if axis in metric_axes(name).values()]
