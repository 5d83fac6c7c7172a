"""Judges by name: environment, options with their types, and messages that say what there is."""

import pytest
from judges.fake_judge import FakeJudge
from turncoat.errors import UserError
from turncoat.judges import spec as load
from turncoat.judges.spec import check_judge, chosen_judge, judge_from_name, judged_by
from turncoat.registry import JUDGES, judge


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr("turncoat.registry.JUDGES", dict(JUDGES))
    monkeypatch.setattr(load, "JUDGES", {})
    monkeypatch.setattr(load, "SHIPPED_JUDGES", {})
    monkeypatch.setattr(load, "discover", lambda: None)
    monkeypatch.setattr("turncoat.registry.JUDGES", load.JUDGES)
    load._built.cache_clear()

    @judge("fake", summary="for tests")
    def fake(
        *, name: str = "fake-1", size: int = 3, may_rate: bool = True, url: str | None = None
    ) -> FakeJudge:
        built = FakeJudge(name, may_rate=may_rate)
        built.options = (size, url)  # type: ignore[attr-defined]
        return built

    @judge("broken", summary="not a judge")
    def broken() -> str:
        return "a string"

    yield
    load._built.cache_clear()


@pytest.mark.parametrize("spec", ["off", "OFF", "", "  "])
def test_off(spec):
    assert judge_from_name(spec) is None
    check_judge(spec)


@pytest.mark.parametrize("before", [None, "fake"])
def test_a_judge_for_a_block(monkeypatch, before):
    monkeypatch.delenv("TURNCOAT_JUDGE", raising=False)
    if before is not None:
        monkeypatch.setenv("TURNCOAT_JUDGE", before)
    with judged_by("off"):
        assert chosen_judge() == "off"
    assert chosen_judge() == (before or "embedded")


def test_names_environment_and_options_choose_a_judge_that_is_built_once(monkeypatch):
    monkeypatch.delenv("TURNCOAT_JUDGE", raising=False)
    assert chosen_judge() == "embedded"
    monkeypatch.setenv("TURNCOAT_JUDGE", "off")
    assert judge_from_name() is None and judge_from_name("fake").id == "fake-1"
    built = judge_from_name("fake:name=x y, size=7,may_rate=false,url=http://host:8000/v1")
    assert (built.id, built.may_rate, built.options) == ("x y", False, (7, "http://host:8000/v1"))
    assert judge_from_name("fake:url=none").options == (3, None)
    extra = '{"a": {"b": 1, "c": 2}, "d": "e=f"}'
    assert judge_from_name(f"fake:url={extra},size=9").options == (9, extra)
    assert judge_from_name("fake") is judge_from_name("fake")
    assert judge_from_name("fake") is not judge_from_name("fake:size=4")
    with pytest.raises(UserError, match="returned str, not a judge"):
        judge_from_name("broken")
    check_judge("broken")  # nothing is built


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fak", "'fak' is not a judge; did you mean 'fake'? accepted: broken, fake, off"),
        ("fake:sise=3", "has no option 'sise'; did you mean 'size'? accepted: may_rate, name, size, url"),
        ("fake:model", "'model' is not key=value"),
        ("fake:sk-0123456789", "'sk-01234' is not key=value"),
    ],
)
def test_mistakes(spec, message):
    for find in (judge_from_name, check_judge):
        with pytest.raises(UserError) as caught:
            find(spec)
        assert message in str(caught.value)
