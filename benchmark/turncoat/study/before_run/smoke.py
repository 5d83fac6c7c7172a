"""Smoke runs: a study cut down to see that it runs to its report. Nothing of one counts as the study's."""

from pathlib import Path

from turncoat.errors import UserError
from turncoat.study.config import Study


def smoke_study(study: Study, questions: int) -> Study:
    """The study with the first questions of each task, one sample each, and as many steps of training.

    It has another name, the first training seed and no contrast. Answers are as long as in the study and
    batches as large, so that memory is tried too. A defence's own finetune is whole.
    """
    rows = questions * study.training.batch_size
    training = study.training.model_copy(update={"rows": min(study.training.rows or rows, rows), "epochs": 1})
    tasks = [
        use.model_copy(update={"limit": min(use.limit or questions, questions), "repeats": 1})
        for use in study.tasks
    ]
    return study.model_copy(
        update={
            "study": f"{study.study}-smoke", "smoke": questions, "training": training, "tasks": tuple(tasks),
            "training_seeds": study.training_seeds[:1], "pilot_seeds": (), "contrasts": (),
        }
    )  # fmt: skip


def smoke_sentence(study: Study) -> str:
    """Warning that a report of a smoke run begins with; "" for any other study."""
    if study.smoke is None:
        return ""
    return (
        f"Smoke run: the first {study.smoke} questions of each task and {study.smoke} steps of training. It "
        "shows that the study runs; none of its numbers is the study's, and its contrasts are left out."
    )


def refuse_smoke(study: Study, folder: Path) -> None:
    """Refuse a smoke run where a study's rows are wanted.

    Raises:
        UserError: It is one.
    """
    if study.smoke is not None:
        raise UserError(
            f"{folder}: a smoke run (`turncoat run --limit {study.smoke}`), whose rows do not count; run the "
            "study without --limit"
        )
