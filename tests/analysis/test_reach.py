"""Claims that a study is too small to support are found from its YAML alone."""

import pytest
from turncoat.analysis.reach import cannot_reach
from turncoat.stats.planning.components import Components
from turncoat.stats.sign_flip import units_for_floor
from turncoat.study.config import Study


def _study(
    seeds: int, contrasts: int = 1, metrics: tuple[str, ...] = ("accuracy",), limit: int = 24
) -> Study:
    arms = [{"name": "base"}, {"name": "treated", "organism": "x"}, {"name": "control", "organism": "y"}]
    named = [
        {"name": f"c{i}", "treated": "treated", "reference": "control", "metrics": metrics, "role": "primary"}
        for i in range(contrasts)
    ]
    return Study.model_validate(
        {
            "study": "s",
            "model": "m",
            "training_seeds": list(range(seeds)),
            "arms": arms,
            "tasks": [{"task": "turncoat_choice", "limit": limit}],
            "contrasts": named,
        }
    )


def test_studies_that_cannot_reach_are_told():
    (line,) = cannot_reach(_study(seeds=2))
    assert line.startswith("2 training seeds: no primary contrast can be claimed of the recipe")
    assert any(line.startswith("4 questions") for line in cannot_reach(_study(8, limit=4)))
    huge = {("c0", "accuracy"): Components(0.2, 0.8, 0.1)}
    told = cannot_reach(_study(3), components=huge)
    assert any("a share cannot differ by more than 1" in line for line in told)
    assert not any("cannot differ" in line for line in cannot_reach(_study(8)))
    assert cannot_reach(_study(2, contrasts=0)) == []


@pytest.mark.parametrize(
    ("seeds", "contrasts", "reaches"), [(5, 1, False), (6, 1, True), (6, 2, False), (8, 6, True)]
)
def test_the_floor_is_held_against_the_corrected_level(seeds: int, contrasts: int, reaches: bool) -> None:
    told = cannot_reach(_study(seeds, contrasts))
    assert (told == []) is reaches
    if not reaches:
        assert f"{seeds} training seeds" in told[0]
        assert f"needs {units_for_floor(0.05 / contrasts)} training seeds" in told[0]
