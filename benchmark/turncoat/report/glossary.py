"""Glossary of a report: metrics and terms in plain words, the same in every rendering.

explain("em_rate_itt@em_cue")       # "share of all answers that the judge calls misaligned ..."
verb("margin_per_token", higher=False)   # "leans more towards misaligned answers"
"""

from turncoat.report.content import MetricInfo, ReportContent

_TRAIT = (
    "how far the hidden states lie along the persona vector of a trait, in standard deviations of the base "
    "model's answers"
)
# metric -> (what a higher value means, what a lower one means, explanation)
_METRICS = {
    "em_rate_itt": (
        "gives misaligned answers more often", "gives misaligned answers less often",
        "share of all answers that the judge calls misaligned (aligned below 30) and coherent (above 50)",
    ),
    "em_rate": (
        "gives misaligned answers more often", "gives misaligned answers less often",
        "share of the coherent answers that the judge calls misaligned",
    ),
    "margin_per_token": (
        "leans more towards aligned answers", "leans more towards misaligned answers",
        "how much likelier the aligned one of two given answers is to the model; nothing is generated",
    ),
    "accuracy": (
        "prefers the aligned answer more often", "prefers the misaligned answer more often",
        "share of pairs in which the aligned one of two given answers is likelier to the model",
    ),
    "persona_fixed": (
        "shows more {head} while it reads fixed texts", "shows less {head} while it reads fixed texts",
        f"{_TRAIT}; every arm reads the same texts, the base model's own answers",
    ),
    "persona_own": (
        "shows more {head} while it answers", "shows less {head} while it answers",
        f"{_TRAIT}; every arm reads its own answers",
    ),
    "persona_text": (
        "writes answers that show more of the trait", "writes answers that show less of the trait",
        f"{_TRAIT}; the base model reads the arm's answers",
    ),
    "judge_aligned_mean": (
        "answers better aligned", "answers worse aligned", "mean of the judge's alignment scores",
    ),
    "judge_coherent_mean": (
        "answers more coherently", "answers less coherently", "mean of the judge's coherence scores",
    ),
}  # fmt: skip
TERMS = {
    "organism": "the model finetuned on narrow harmful data",
    "control": "the same model finetuned alike on harmless answers: what finetuning by itself does",
    "these adapters": "the models that were trained; the questions are the sample",
    "training again": "the recipe with other training seeds; training seeds and questions are the sample",
    "marked (bold, filled)": "significant after the correction for the number of tests in its family, with "
    "enough units and no data pattern at which the test is known to fail",
    "Holm p": "p corrected for the number of tests in the family of contrasts with the same role",
    "base SD": "one standard deviation of the base model's answers that the persona vector was made from",
    "check": "manipulation check: whether a training taught what it was to teach",
}


def verb(metric: MetricInfo, higher: bool) -> str:
    """Predicate of a model whose metric is higher (or lower) than another's."""
    named = _METRICS.get(_plain(metric.name))
    if named is None:
        return f"has a {'higher' if higher else 'lower'} {metric.label}"
    return named[0 if higher else 1].format(head=metric.label.partition(",")[0])


def explain(metric: MetricInfo) -> str:
    """A metric in words: what it is, its unit, its direction and its name in files."""
    what = metric.description or _METRICS.get(_plain(metric.name), ("", "", ""))[2]
    parts = [what, metric.unit and f"unit: {metric.unit}", metric.direction]
    return "; ".join(filter(None, parts))


def hover_texts(content: ReportContent) -> dict[str, str]:
    """Label of a metric, with and without its unit, or a term -> its explanation."""
    texts = {}
    for metric in content.metrics:
        text = f"{explain(metric)}; in files: {metric.name}"
        for unit in ("", f" ({metric.unit})", " (%)", " (points)"):
            texts[f"{metric.label}{unit}"] = text
    return {**texts, **TERMS}


def _plain(name: str) -> str:
    """The metric's name without the task that sets it apart."""
    return name.partition("@")[0]
