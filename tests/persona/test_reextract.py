"""Re-extractions of a vector from resampled questions: what is resampled, and whether their spread is the
spread over new extractions."""

import pytest
import torch
from turncoat.engine.reading.reader import Reading
from turncoat.persona.answers import Answered, Answers
from turncoat.persona.readings import persona_readings
from turncoat.persona.reextract import RESAMPLES, reextract
from turncoat.persona.vectors import PersonaVector

D = 6


def made_answers(seed: int, questions: int = 20, noise: float = 1.0) -> Answers:
    """Answers of an extraction: each question shifts its answers, the sides differ along the first axis."""
    generator = torch.Generator().manual_seed(seed)

    def draw(scale: float) -> torch.Tensor:
        return scale * torch.randn(2, D, generator=generator)

    axis = torch.eye(D)[0]
    used = []
    for q in range(questions):
        whole, turned = (
            draw(1.0),
            draw(noise),
        )  # the turn differs by question: no number of answers averages it
        for side, sign in (("positive", 1), ("negative", -1), ("ordinary", 0)):
            for _ in range(2):
                state = whole + sign * (axis + turned) / 2 + draw(0.3)
                used.append(Answered(side, f"q{q}", "text", state, None, None))
    return Answers(used)


def vector_of(answers: Answers, layer: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Direction, mean and SD as an extraction makes them."""
    positive, negative = (
        torch.stack(answers.side(side))[:, layer].mean(0) for side in ("positive", "negative")
    )
    direction = torch.nn.functional.normalize(positive - negative, dim=0)
    projected = answers.ordinary()[:, layer] @ direction
    return direction, projected.mean(), projected.std()


def test_a_resample_takes_whole_questions_and_equal_answers_give_equal_vectors():
    answers = made_answers(0)
    again, twice = reextract(answers, 1), reextract(made_answers(0), 1)
    assert again.directions.shape == (RESAMPLES, D) and again.mean.shape == again.sd.shape == (RESAMPLES,)
    for name in ("directions", "mean", "sd"):
        assert torch.equal(getattr(again, name), getattr(twice, name))
    torch.testing.assert_close(again.directions.norm(dim=1), torch.ones(RESAMPLES))
    assert len({round(float(x), 5) for x in again.sd}) == RESAMPLES
    # without any difference between questions there is nothing that resampling could change
    same = Answers(
        [Answered(a.side, f"q{q}", "", a.activation, None, None) for q in range(20) for a in answers.used[:6]]
    )
    assert reextract(same, 1) is None, "no spread between questions, so no unit"


def test_a_resample_is_an_extraction_from_its_questions(monkeypatch):
    answers = made_answers(3, questions=5)
    weights = torch.tensor([[1.0, 1, 1, 1, 1], [2.0, 0, 1, 0, 2]])
    monkeypatch.setattr("turncoat.persona.reextract._weights", lambda counts, resamples: weights)
    again = reextract(answers, 1)
    for row, times in enumerate(weights):
        held = [a for q, n in enumerate(times) for k in range(int(n)) for a in copies(answers, q, k)]
        direction, mean, sd = vector_of(Answers(held))
        torch.testing.assert_close(again.directions[row], direction)
        torch.testing.assert_close(again.mean[row], mean)
        torch.testing.assert_close(again.sd[row], sd)


def copies(answers: Answers, question: int, copy: int) -> list[Answered]:
    """A question's answers under a name of their own, so that a copy counts as one more question."""
    of = [a for a in answers.used if a.question == f"q{question}"]
    return [Answered(a.side, f"{a.question}-{copy}", a.text, a.activation, None, None) for a in of]


def test_the_spread_over_resamples_is_that_over_new_extractions():
    """SD of a fixed movement in the vector's unit: over 400 new extractions, and over resamples of each."""
    moved = torch.tensor([0.8, 0.5, -0.4, 0.3, 0.0, 0.6])
    found, spread = [], []
    for seed in range(400):
        answers = made_answers(seed)
        direction, _, sd = vector_of(answers)
        found.append(float(moved @ direction / sd))
        again = reextract(answers, 1)
        spread.append(float((again.directions @ moved / again.sd).var()))
    over_new = float(torch.tensor(found).std())
    # Monte-Carlo error of an SD from 400: 4 %; a bootstrap of 20 questions is a few per cent too narrow
    assert float(torch.tensor(spread).mean()) ** 0.5 == pytest.approx(over_new, rel=0.15)


def test_few_questions_give_none_and_a_side_is_never_left_empty():
    assert reextract(made_answers(0, questions=2), 1) is None
    few = made_answers(0, questions=4)
    few.used = [a for a in few.used if a.side != "positive" or a.question == "q1"]
    assert torch.isfinite(reextract(few, 1).directions).all()


def test_readings_carry_a_projection_for_each_vector_and_old_vectors_carry_none():
    answers = made_answers(1)
    direction, mean, sd = vector_of(answers)
    again = reextract(answers, 1)
    layers = torch.stack([direction, direction])
    vector = PersonaVector("evil", layers, mean.repeat(2), sd.repeat(2), 1, {}, again=again)
    state = torch.randn(2, D, generator=torch.Generator().manual_seed(7))
    reading = Reading(state, -1.0, -2.0, 2)
    evidence = persona_readings(vector, state, reading, reading)
    expected = ((again.directions @ state[1] - again.mean) / again.sd).tolist()
    for name in ("persona_own_vectors", "persona_fixed_vectors"):
        assert evidence[name] == pytest.approx(expected, abs=5.1e-5)
        assert all(x == round(x, 4) for x in evidence[name])
    empty = Reading(None, float("nan"), float("nan"), 0)
    nothing = persona_readings(vector, None, empty, empty)
    assert nothing["persona_own_vectors"] is nothing["persona_fixed_vectors"] is None
    old = PersonaVector("evil", layers, mean.repeat(2), sd.repeat(2), 1, {})
    assert not {name for name in persona_readings(old, state, reading, reading) if name.endswith("_vectors")}
