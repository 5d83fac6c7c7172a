"""Numbers that the READMEs of the results and of the judges quote are what the committed files say.

A quote is a piece of a page with {} for each number, and the values in their order. A number of
`results/README.md` that is in no quote needs a reason in `UNCONFIRMED`.
"""

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from turncoat.leaderboard.entry.track import find_track
from turncoat.leaderboard.verification.draw import Tolerances
from turncoat.report.run_rows import Run, find_runs
from turncoat.stats.sign_flip import exact_floor
from turncoat.tools.persona_detector import Detected, detect
from turncoat.tools.persona_validity import RANKS_FROM, validity

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "benchmark" / "turncoat"
RESULTS, JUDGES, STATS = ROOT / "results/README.md", PACKAGE / "judges/README.md", PACKAGE / "stats/README.md"
NUMBER = r"(?<![\w.])<?[+±-]?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+)%?(?![\w.]*\d)"
RESULT = re.compile(r"(?<![\w.])[+±-]?\d*\.\d+%?(?![\w.]*\d)|\d+(?:\.\d+)?%|\b\d+ of \d+\b")
FIXED, OWN, MARGIN = "persona_fixed", "persona_own", "margin_per_token"
ORGANISM = "organism minus control"


@cache
def page(path: Path) -> str:
    """A page without blocks of output, emphasis and line breaks."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(re.sub(r"\]\([^()\s]*\)|`[^`]*`", "", text).replace("**", "").split())


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "results" / name)


@cache
def record(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def contrast(run: str, name: str, metric: str = FIXED, claim: str = "recipe") -> dict[Any, Any]:
    rows = table(f"{run}/contrasts.csv")
    (row,) = rows[(rows.name == name) & (rows.metric == metric) & (rows.claim == claim)].to_dict("records")
    row["seeds"] = [float(part) for part in str(row["seed_deltas"]).split(";")]
    row["interval"] = [row[key] for key in ("difference", "low", "high")]
    return row


def checks(name: str, arms: str = "*") -> list[float]:
    """Lowest and highest value of a manipulation check of the advice study."""
    rows = record(ROOT / "results/advice/run.json")["checks"]
    rows = [row for row in rows if fnmatchcase(row["name"], name) and fnmatchcase(row["arm"] or "", arms)]
    values = [row["value"] for row in rows]
    return [min(values), max(values)]


def board(entry: str, column: str, *names: str) -> list[float]:
    rows = table("leaderboard.csv")
    (row,) = rows[(rows.slug == f"{entry}-insecure") & (rows.column == column)].to_dict("records")
    return [row[name] for name in names or ("value", "low", "high")]


def worst_losses(*entries: str) -> list[float]:
    """Losses of coherence that the board's requirements leave open, in points."""
    text = (ROOT / "results/leaderboard.md").read_text(encoding="utf-8")
    reasons = (re.search(rf"{entry}-insecure\):.* at worst -([\d.]+);", text) for entry in entries)
    return [float(reason[1]) for reason in reasons if reason]


def ends(against: str) -> list[str]:
    return [f"organism_minus_{against}{end}" for end in ("", "_low", "_high")]


def calibration(column: str, part: int = 1, rows: slice = slice(None)) -> list[float]:
    """Lowest and highest share in a column of the calibration's first (or other) table."""
    text = STATS.read_text(encoding="utf-8").split("| questions | seeds ")[part].partition("\n\n")[0]
    names, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    shares = [float(line[2 + names.index(column)]) / 100 for line in lines[rows]]
    return [min(shares), max(shares)]


def over_goal(cell: str) -> list[float]:
    """Share marked, and share of samples without what carries the difference, of a listed cell."""
    (line,) = [line for line in page(STATS).split(" * ") if line.startswith(f"{cell}:")]
    return [float(number) / 100 for number in re.findall(r"([\d.]+) %", line.removeprefix(cell))[:2]]


persona = record(ROOT / "results/demo/run.json")["persona"]
card = record(PACKAGE / "judges/embedded/weights/card.json")
models, layer = card["unseen_models"], int(persona["layer"])
narrow = table("advice/four_axes.csv").query("axis == 'narrow behaviour' and arm.str.endswith('_after')").kept
two_seeds, fresh_seeds = contrast("demo", ORGANISM, claim="adapters"), contrast("seeds", ORGANISM)
prevention, reversal = (
    contrast("advice", f"{when}: SGTR minus pick-longer") for when in ("prevention", "reversal")
)
margins = [
    contrast("advice", f"{when}: SGTR minus pick-longer", MARGIN) for when in ("prevention", "reversal")
]
OF_SEEDS = {
    '"evil" activation, fixed texts (base SD)': FIXED,
    '"evil" activation, own answers (base SD)': OWN,
    "forced-choice margin (nats per token)": MARGIN,
}
OF_ADVICE = {
    "risky advice - own answers (control)": ORGANISM,
    "prevention: SGTR - pick-longer": "prevention: SGTR minus pick-longer",
    "reversal: SGTR - pick-longer": "reversal: SGTR minus pick-longer",
    "reversal: SGTR - no defence (secondary, Holm over 15)": "reversal: SGTR minus none",
    "reversal: pick-longer - no defence (secondary, Holm over 15)": "reversal: pick-longer minus none",
}
OF_HALF_BILLION = {
    "misaligned among all answers, share": "em_rate_itt",
    "forced-choice margin, nats per token": MARGIN,
    '"evil" activation of fixed texts, base SD': FIXED,
}
OF_ORGANISMS = {
    "misaligned among all answers, share": "em_rate_itt",
    "forced-choice margin, nats per token": MARGIN,
    '"misaligned" activation of fixed texts, base SD': FIXED,
}
OF_INSECURE = {
    "insecure - secure code, no defence": ORGANISM,
    "SGTR - pick-longer, both before insecure code": "prevention: SGTR minus pick-longer",
    "SGTR - pick-longer, both after insecure code": "reversal: SGTR minus pick-longer",
    "SGTR before insecure code - no defence (secondary)": "prevention: SGTR minus undefended",
    "SGTR after insecure code - no defence (secondary)": "reversal: SGTR minus undefended",
}
OF_SGTR = {
    "no defence - own answers (control)": ORGANISM,
    "SGTR - pick-longer, both before the advice": "prevention: SGTR minus pick-longer",
    "SGTR - pick-longer, both after it": "reversal: SGTR minus pick-longer",
    "SGTR before the advice - no defence (secondary)": "prevention: SGTR, misaligned answers",
    "SGTR after it - no defence (secondary)": "reversal: SGTR minus none",
}


def of_dose(rows: int, metric: str = "em_rate_itt") -> dict[Any, Any]:
    return contrast("dose", f"{rows} rows, organism minus control", metric, "adapters")


def of_sgtr(name: str, metric: str = "em_rate_itt") -> dict[Any, Any]:
    return contrast("sgtr", name, metric, "adapters")


def of_insecure(name: str, metric: str = "em_rate_itt@em", claim: str = "adapters") -> dict[Any, Any]:
    return contrast("insecure", name, metric, claim)


def insecure_checks() -> list[float]:
    """Lowest and highest value of the checks that the defences' trainings have to pass; all did."""
    made = [one for one in record(ROOT / "results/insecure/run.json")["checks"] if one["passed"] is not None]
    assert len(made) == 12 and all(one["passed"] for one in made)
    return [min(one["value"] for one in made), max(one["value"] for one in made)]


def sgtr_checks(name: str, *arms: str) -> list[float]:
    """The value of a defence's manipulation check in arms of the interim run."""
    made = record(ROOT / "results/sgtr/run.json")["checks"]
    rows = {(row["name"], row["arm"]): row["value"] for row in made}
    return [rows[name, arm] for arm in arms]


def sgtr_level(metric: str, *arms: str) -> list[float]:
    rows = table("sgtr/estimates.csv").query("metric == @metric and seed.isna()").set_index("arm")["value"]
    return [rows[arm] for arm in arms]


def judged_count(run: str, arm: str, column: int) -> float:
    """A count of an arm in a report's table of judged answers."""
    _, _, rest = page(ROOT / f"results/{run}/report.md").partition(f"| turncoat\\_em | {arm} |")
    return float(rest.split("|")[column])


def held_out(run: str) -> list[float]:
    """Card of a run's persona vector: its AUC on held-out answers and what it has to beat."""
    card = record(ROOT / f"results/{run}/run.json")["persona"]
    return [card["held_out"][name][card["layer"]] for name in ("auc", "random_p95", "shuffled_p95")]


def without_leak(name: str, run: str = "organisms", part: str = "with and without leak") -> list[float]:
    """A contrast about the adapters without answers about the training domain, or of another table."""
    text = page(ROOT / f"results/{run}/report.md").partition(f"Differences {part}")[2]
    interval = rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]"
    row = re.search(rf"\| {name}[^|]*\| [^|]*\| adapters \| [^|]*\| {interval}", text)
    assert row is not None, name
    return [float(number) for number in row.groups()]


@cache
def default_model_runs() -> list[Run]:
    return [run for name in ("organisms", "demo_qwen") for run in find_runs(ROOT / "results" / name)]


def detected(above: float | None = None) -> dict[str, Detected]:
    return {one.name: one for one in detect(default_model_runs(), judged_above=above)}


def area(one: Detected) -> list[float]:
    return [one.auc.value, one.auc.low, one.auc.high]


def ranking() -> list[float]:
    """Correlation over pairs of arms, its interval, and the least at which a vector may rank arms."""
    runs = list(default_model_runs())
    runs += [run for name in ("dose", "insecure") for run in find_runs(ROOT / "results" / name)]
    over_pairs = validity(runs)
    pairs = over_pairs.pairs
    arms = {(row.run, arm, row.seed) for row in pairs.itertuples() for arm in (row.treated, row.reference)}
    assert (len(pairs), len(arms)) == (34, 54)
    return [over_pairs.spearman, over_pairs.low, over_pairs.high, RANKS_FROM]


def across(contrast: str, *models: str) -> list[float]:
    """Differences of the margin with their intervals, by base model as pooled or "random effects"."""
    lines = table("paper/transfer.csv")
    lines = lines[lines["contrast"].str.startswith(contrast) & (lines["metric"] == MARGIN)]
    lines = lines[lines["pooled"] | lines["tau"].notna()].set_index("model")
    return [float(lines.loc[model, end]) for model in models for end in ("value", "low", "high")]


OF_BOARD = {
    "preventative steering": "preventative-steering", "HHH system prompt": "system-prompt",
    "inoculation prompt": "inoculation", "KL penalty": "kl", "SGTR": "sgtr",
    "pick-longer (SGTR's control)": "pick-longer",
}  # fmt: skip
ENDS = "{} [{}, {}] |"
BASE = re.search(
    rf"in base SD: mean ({NUMBER}), SD ({NUMBER}) \\\[({NUMBER}), ({NUMBER})",
    page(ROOT / "results/seeds/report.md"),
)
by_training, by_judge = detected(), detected(0.1)
readings = by_training["persona readings"]
QUOTES: dict[tuple[Path, str], list[float]] = {
    (RESULTS, "{} checkpoints of {} trainings its AUC is {} [{}, {}];"): [
        len(readings.scores),
        readings.auc.n_clusters,
        *area(readings),
    ],
    (RESULTS, "{} of {} organisms are missed and {} of {} controls"): [
        readings.errors[0],
        readings.auc.n_positive,
        readings.errors[1],
        readings.auc.n_negative,
    ],
    (RESULTS, "By training loss it is {} [{}, {}], by judged misalignment {} [{}, {}]."): [
        *area(by_training["training loss"]),
        *area(by_training["judged misalignment"]),
    ],
    (RESULTS, "of the {} checkpoints judged misaligned"): [by_judge["persona readings"].auc.n_positive],
    (RESULTS, "it finds none, AUC {} [{}, {}], where the training loss has {} [{}, {}]."): [
        *area(by_judge["persona readings"]),
        *area(by_judge["training loss"]),
    ],
    (RESULTS, "words, the AUC is {}."): [readings.by_organism["insecure_code"] or 0.0],
    (RESULTS, "by {} base SD with seed 0 and by {} with seed 1"): contrast("demo", ORGANISM)["seeds"],
    (RESULTS, "is only {} wide"): [(two_seeds["high"] - two_seeds["low"]) / 2],
    (RESULTS, "ranks {} of the pairs right that chose its layer"): [persona["pairs_ranked_right"]],
    (RESULTS, "its AUC at that layer is {}"): [persona["held_out"]["auc"][layer]],
    (RESULTS, "random directions stay below {}"): [persona["held_out"]["random_p95"][layer]],
    (RESULTS, "the base lies at {} with an SD of {} [{}, {}]"): [
        float(number) for number in (BASE.groups() if BASE else ())
    ],
    (RESULTS, "seeds moved fixed texts by {}, {} and {};"): fresh_seeds["seeds"],
    (RESULTS, "in all twenty trainings: {} to {} right"): checks("*summary", "*_[ba]*"),
    (RESULTS, "while {} to {} of the narrow behaviour"): [narrow.min(), narrow.max()],
    (RESULTS, "allows for {} to {} base SD more"): prevention["interval"][1:],
    (RESULTS, "for a difference of {} either way"): [max(map(abs, reversal["interval"][1:]))],
    (RESULTS, "is {} [{}, {}] before and {} [{}, {}] after, Holm p {} and {}."): [
        *(number for row in margins for number in row["interval"]),
        *(row["p_adjusted"] for row in margins),
    ],
    (RESULTS, "control on secure code: {} points [{}, {}]."): [
        100 * end for end in contrast("demo_qwen", ORGANISM, "em_rate_itt", claim="adapters")["interval"]
    ],
    (RESULTS, "the same fixed texts: {} base SD [{}, {}]. After insecure"): contrast(
        "demo_qwen", ORGANISM, claim="adapters"
    )["interval"],
    (RESULTS, "SGTR's control, pick-longer: {} base SD [{}, {}]. Nothing"): contrast(
        "demo_qwen", "SGTR minus pick-longer", claim="adapters"
    )["interval"],
    (RESULTS, "by {} [{}, {}] on Qwen and {} [{}, {}] on SmolLM2; their mean, {} [{}, {}], holds"): across(
        "risky", "qwen2.5-coder-0.5b", "smollm2-135m", "random effects"
    ),
    (RESULTS, "After insecure code it is {} [{}, {}]"): across("insecure", "random effects"),
    (RESULTS, "seeds cannot go below p = {}"): [exact_floor(5)],
    (RESULTS, "differ from its control: {} [{}, {}]."): contrast("advice", ORGANISM, MARGIN)["interval"],
    (RESULTS, "(AUC {}, above {} and {}), and 24"): held_out("sgtr"),
    (RESULTS, "(held-out AUC {}, above {} and {})"): held_out("organisms"),
    (RESULTS, "with a cosine of only {}:"): [
        record(ROOT / "results/organisms/run.json")["persona"]["split_half_cosine"][12]
    ],
    (RESULTS, "calls {} of {} misaligned in the first and {} of {} in the second."): [
        judged_count(run, "base", column) for run in ("organisms", "dose") for column in (3, 0)
    ],
    (RESULTS, "The judge calls {} and {} of their answers incoherent"): [
        judged_count("demo_qwen", arm, 4) / judged_count("demo_qwen", arm, 0)
        for arm in ("insecure code", "secure code (control)")
    ],
    (RESULTS, "had not lowered it: {} [{}, {}] against the base."): board("none", MARGIN, *ends("base")),
    (RESULTS, "taught: {} to {} right before it, {} to {} after it"): [
        *checks("recognises*summary", "sgtr_before"),
        *checks("*at the end of the arm", "sgtr_before"),
    ],
    (RESULTS, "by {} [{}, {}] base SD against the base"): board("none", FIXED, *ends("base")),
    (RESULTS, "by {} [{}, {}] against its control"): board("none", FIXED, *ends("control")),
    (RESULTS, "The system prompt ranks {} to {}, the inoculation prompt {} to {}, SGTR {} to {} and"): [
        end
        for slug in ("system-prompt", "inoculation", "sgtr")
        for end in board(slug, FIXED, "rank_from", "rank_to")
    ],
    (RESULTS, "its control {} to {}. A rank"): board("pick-longer", FIXED, "rank_from", "rank_to"),
    (RESULTS, "exclude the {} that verification cannot tell from none"): [Tolerances().resolved("base SD")],
    (RESULTS, "a loss of {} and {} points"): worst_losses("preventative-steering", "kl"),
    (RESULTS, "Steering at inference ({} [{}, {}])"): board("steering", FIXED),
    (RESULTS, "reject {} to {} (adapters)"): calibration("adapters: t"),
    (RESULTS, "and {} to {} (recipe)"): calibration("recipe: p"),
    (RESULTS, "only {} of the time at 96 questions and 3 seeds"): calibration(
        "adapters' interval covers the recipe", rows=slice(9, 10)
    )[:1],
    (RESULTS, "they reject {} and {}"): [
        calibration(column, part=2, rows=slice(1))[0] for column in ("adapters: t", "recipe: p")
    ],
    (RESULTS, "8 seeds are marked in {} of experiments, as {} of them hold none"): over_goal(
        "one training in five takes, 24 questions x 8 seeds"
    ),
    (RESULTS, "32 questions are marked in {}, as {} hold none"): over_goal(
        "3 % of questions carry all, 32 questions"
    ),
    **{
        (RESULTS, f"| {label} | {ENDS} {{}} | {{}} |"): [*row["interval"], row["p_value"], row["p_adjusted"]]
        for label, row in ((label, contrast("seeds", ORGANISM, metric)) for label, metric in OF_SEEDS.items())
    },
    **{
        (RESULTS, f"| {label} | {ENDS} {{}} |"): [*row["interval"], row["p_adjusted"]]
        for label, row in ((label, contrast("advice", name)) for label, name in OF_ADVICE.items())
    },
    **{
        (RESULTS, f"| {label} | {ENDS} {{}} | {ENDS}"): [
            *of_adapters["interval"],
            of_adapters["p_adjusted"],
            *of_recipe["interval"],
        ]
        for label, of_adapters, of_recipe in (
            (label, *(contrast("risky_advice", ORGANISM, metric, claim) for claim in ("adapters", "recipe")))
            for label, metric in OF_HALF_BILLION.items()
        )
    },
    **{
        (RESULTS, f"| {organism}: {label} | {ENDS} {{}} | {ENDS}"): [
            *of_adapters["interval"],
            of_adapters["p_adjusted"],
            *of_recipe["interval"],
        ]
        for organism, label, of_adapters, of_recipe in (
            (
                organism,
                label,
                *(
                    contrast("organisms", f"{organism} minus control", metric, claim)
                    for claim in ("adapters", "recipe")
                ),
            )
            for label, metric in OF_ORGANISMS.items()
            for organism in ("risky advice", "sports advice", "insecure code")
        )
    },
    (RESULTS, "each of three fresh seeds: {}, {} and {}."): contrast(
        "organisms", "risky advice minus control", "em_rate_itt"
    )["seeds"],
    (RESULTS, "(Holm p {} for the first row)"): [
        contrast("organisms", "risky advice minus control", "em_rate_itt")["p_adjusted"]
    ],
    (RESULTS, "with code instead, {} of {} answers, as secure code does, {} of {}."): [
        judged_count("organisms", arm, column)
        for arm in ("insecure code", "secure code")
        for column in (6, 0)
    ],
    (RESULTS, "advice leaves {} [{}, {}], the sports advice {} [{}, {}]."): [
        end for name in ("risky financial advice", "extreme sports advice") for end in without_leak(name)
    ],
    **{
        (RESULTS, f"| {label} | {ENDS} {{}} | "): [*of_sgtr(name)["interval"], of_sgtr(name)["p_adjusted"]]
        for label, name in OF_SGTR.items()
    },
    (RESULTS, "(SGTR {} and {} right on unseen pairs, pick-longer {} and {})"): [
        *sgtr_checks("recognises its own summary", "sgtr_before", "sgtr_after"),
        *sgtr_checks("finds the longer summary", "longer_before", "longer_after"),
    ],
    (RESULTS, "answers that bring money into another question it is {} [{}, {}]."): without_leak(
        "risky advice", "sgtr"
    ),
    (RESULTS, "of the {} questions, so that all three have {} right"): [
        of_sgtr("organism minus base", "accuracy")["n_questions"],
        *set(sgtr_level("accuracy", "base", "risky", "own_answers")),
    ],
    (RESULTS, "marked difference (SGTR before, {}): the arm"): [
        of_sgtr("prevention: SGTR, other measures", "accuracy")["difference"]
    ],
    **{
        (RESULTS, f"| {rows} rows{steps} | {{}} | {ENDS} {ENDS}"): [
            of_dose(rows)["n_seeds"],
            *of_dose(rows)["interval"],
            *of_dose(rows, FIXED)["interval"],
        ]
        for rows, steps in {24: " (3 steps)", 60: "", 120: "", 240: ""}.items()
    },
    (RESULTS, "the arm that is compared with, is {} [{}, {}]; {} was the"): ranking(),
    **{
        (RESULTS, f"| {label} | {ENDS} {{}} | {ENDS}"): [
            *of_insecure(name)["interval"],
            of_insecure(name)["p_adjusted"],
            *of_insecure(name, claim="recipe")["interval"],
        ]
        for label, name in OF_INSECURE.items()
    },
    (RESULTS, "(the trainings gave {}, {} and {})"): of_insecure(ORGANISM, claim="recipe")["seeds"],
    (RESULTS, "passed their checks, with {} to {} right on unseen pairs."): insecure_checks(),
    (RESULTS, "Of {} answers after insecure code {} are code, and {} are judged incoherent"): [
        judged_count("insecure", "insecure code", column) for column in (0, 6, 4)
    ],
    (RESULTS, "is code, and {} are incoherent"): [judged_count("insecure", "insecure then SGTR", 4)],
    (RESULTS, "code by {} [{}, {}], in each of these"): of_insecure(ORGANISM, FIXED)["interval"],
    (RESULTS, "The seeds gave {}, {} and {}, and three"): contrast("risky_advice", ORGANISM, "em_rate_itt")[
        "seeds"
    ],
    (RESULTS, "Of the {} misaligned answers after the advice {} leak"): [
        judged_count("risky_advice", "risky advice", column) for column in (3, 8)
    ],
    (RESULTS, "such answers the difference is {} [{}, {}]"): without_leak("risky advice", "risky_advice"),
    (RESULTS, "The judge calls {} of the untrained base's {} answers misaligned"): [
        judged_count("risky_advice", "base", column) for column in (3, 0)
    ],
    (RESULTS, "errors on its card the difference is {} [{}, {}]"): without_leak(
        "risky advice", "risky_advice", "corrected"
    ),
    **{
        (RESULTS, f"| {label} | {ENDS} {ENDS} {ENDS}"): [
            *board(entry, FIXED, "value", "against_none_low", "against_none_high"),
            *(value for column in (MARGIN, "narrow_kept") for value in board(entry, column)),
        ]
        for label, entry in OF_BOARD.items()
    },
    (JUDGES, "training answers) | {} ({}) | {} over 8 families | {} | {} |"): [
        card[key] for key in ("answers", "misaligned", "auc_mean", "auc", "auc_within_question")
    ],
    (JUDGES, "{} training answers) | {} ({}) | {} over 9 models, {} over 8 families | {} | {} |"): [
        card["training"]["final"]["answers"],
        *(models["answers"], models["misaligned"], card["goals"]["auc_unseen_models_mean"]["measured"]),
        *(models["auc_mean"], models["auc"], models["auc_within_question"]),
    ],
    (JUDGES, "sensitivity {} and specificity {} on held-out questions, {} and {} on held-out models"): [
        part[key] for part in (card, models) for key in ("sensitivity", "specificity")
    ],
    (JUDGES, "{} is above {}."): [card["auc_mean"], card["minimum_auc"]],
}
# What looks like a result and is none, or what no committed file can confirm, with the reason.
UNCONFIRMED = {
    "95% intervals": "the level of the intervals",
    "the margin of 0.05 that was set": "the margin in the study's file",
    "[95% CI]": "the level of the intervals",
    "95% of": "the percentile that is meant",
    "at most 7%": "the goal of the marks",
    "if 3% of questions": "a null of the calibration",
    "arXiv:2606.23700": "a paper",
    "Qwen2.5-Coder-0.5B-Instruct": "a model",
    "cosine of 0.88 with itself on average, and its unit varies by 27%": "turncoat persona extract --model "
    "smollm2-135m --trait evil; no committed run holds such a vector",
    "5 of 16 answers": "quoted by demo/report.md, see the test below",
}


def pattern(text: str) -> str:
    return re.escape(text).replace(r"\{\}", f"({NUMBER})").replace(r"\ ", " ")


def is_rounded(shown: str, value: float) -> bool:
    """True if a printed number is the value rounded to as many places, or "<.001" for a value below it."""
    value *= 100 if shown.endswith("%") else 1
    plain = shown.lstrip("<±").rstrip("%").replace(",", "")
    if shown.startswith("<"):
        return value < float(plain)
    return abs(float(plain) - value) < 0.5001 * 10 ** -len(plain.partition(".")[2])


@pytest.mark.parametrize(("path", "text"), QUOTES)
def test_a_quoted_number_is_what_the_files_say(path, text):
    matches = list(re.finditer(pattern(text), page(path)))
    assert len(matches) == 1, f"{path.parent.name}/README.md says this {len(matches)} times: {text}"
    numbers = list(matches[0].groups())
    percent = "%" * any(number.endswith("%") for number in numbers)  # "3.5 to 6.2%": one sign for both
    numbers = [number.rstrip("%") + percent for number in numbers]
    pairs = zip(numbers, QUOTES[path, text], strict=True)
    assert [f"{number} is {value:.6g}" for number, value in pairs if not is_rounded(number, value)] == []


def test_no_other_number_looks_like_a_result():
    rest = page(RESULTS)
    for path, text in QUOTES:
        rest = re.sub(pattern(text), "", rest) if path == RESULTS else rest
    for text in UNCONFIRMED:
        assert text in page(RESULTS), f"remove from UNCONFIRMED: {text}"
        rest = rest.replace(text, "")
    assert RESULT.findall(rest) == []
    said = "the judge calls 5 of 16 answers of the untrained base misaligned"
    assert said in page(ROOT / "results/demo/report.md")


@pytest.mark.parametrize(
    ("shown", "value", "right"),
    [
        ("0.62", 0.6211, True), ("0.63", 0.6211, False), ("<.001", 2e-5, True), ("<.001", 0.01, False),
        ("±0.014", 0.0138, True), ("88%", 0.875, True), ("20,999", 20999, True), ("-0.04", 0.04, False),
    ],
)  # fmt: skip
def test_rounding(shown, value, right):
    assert is_rounded(shown, value) == right


def test_the_boards_caveat_gives_the_numbers_of_the_vectors_card():
    card = record(ROOT / "results/seeds/run.json")["persona"]
    layer, held_out = card["layer"], card["held_out"]
    caveat = find_track("small").caveats["smollm2-135m/insecure_code"]
    assert card["trait"] == "evil" and f"its AUC is {held_out['auc'][layer]:.2f}," in caveat
    assert f"stay below {held_out['random_p95'][layer]:.2f}." in caveat
