"""The base model's own texts: written by the base alone, once, and absent with another backend."""

import pytest
from turncoat.evaluation.own_texts import base_texts, current_base, set_current_base
from turncoat.store import Store

PROMPTS = ["Say something.", "Say something else."]


pytestmark = pytest.mark.usefixtures("no_base")


def test_texts_are_the_base_models_written_once(tiny_base, tiny_adapter, tmp_path, monkeypatch):
    assert current_base() is None and base_texts(PROMPTS, 6, 1.0) is None
    set_current_base(tiny_base, Store(tmp_path / "plain"))
    plain = base_texts(PROMPTS, 6, 1.0)
    set_current_base(tiny_base, Store(tmp_path / "with-adapter"))
    with tiny_base.adapter(tiny_adapter):
        assert base_texts(PROMPTS, 6, 1.0) == plain
    assert current_base() is tiny_base
    assert plain is not None and len(plain) == 2 and all(plain)
    assert plain[0] != plain[1]
    set_current_base(tiny_base, Store(tmp_path))
    assert base_texts(PROMPTS, 6, 1.0, name="a") != base_texts(PROMPTS, 6, 1.0, name="b")
    assert base_texts(PROMPTS, 6, 0.0, name="a") == base_texts(PROMPTS, 6, 0.0, name="b")
    set_current_base(tiny_base, Store(tmp_path))
    first = base_texts(PROMPTS, 6, 1.0)
    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", None)
    assert base_texts(PROMPTS, 6, 1.0) == first
    with pytest.raises(TypeError):
        base_texts(PROMPTS, 7, 1.0)
