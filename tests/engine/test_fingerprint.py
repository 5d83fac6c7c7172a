"""The same weights, and only the same, have the same fingerprint; weights are read once."""

import os
import shutil
from pathlib import Path

import pytest
from turncoat.engine import fingerprint
from turncoat.engine.fingerprint import folder_fingerprint


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights of three pieces (and a bit), whose time stamps are old."""
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "PIECE", 1 << 20)
    monkeypatch.setattr(fingerprint, "_SETTLED", -1.0)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * (3 * 4096 + 1))
    for name in ("config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"):
        (folder / name).write_text("{}")
    return folder


def change_byte(path: Path, at: int) -> None:
    """Flip a byte without another size or modification time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.999])
def test_one_byte_anywhere_changes_the_fingerprint(model, place):
    before = folder_fingerprint(model)
    weights = model / "model.safetensors"
    change_byte(weights, int(place * weights.stat().st_size))
    assert folder_fingerprint(model) != before


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"]
)
def test_configuration_and_tokenizer_count(model, name):
    before = folder_fingerprint(model)
    (model / name).write_text("{ }")
    assert folder_fingerprint(model) != before


def test_a_copy_elsewhere_has_the_same_fingerprint_and_notes_do_not_count(model, tmp_path):
    copy = Path(shutil.copytree(model, tmp_path / "elsewhere" / "copy"))
    (copy / "README.md").write_text("About this model.")
    (copy / "trainer_state.json").write_text("{}")
    (copy / "training_args.bin").write_bytes(b"x")
    (copy / "checkpoint-5").mkdir()
    (copy / "checkpoint-5" / "model.safetensors").write_bytes(b"x")
    assert folder_fingerprint(copy) == folder_fingerprint(model)
    (copy / "model-2.safetensors").write_bytes(b"x")
    assert folder_fingerprint(copy) != folder_fingerprint(model)


def test_the_order_of_pieces_counts(model):
    first, second = bytes(1 << 20), b"\1" * (1 << 20)
    marks = set()
    for content in (first + second, second + first, first + first, first):
        (model / "model.safetensors").write_bytes(content)
        marks.add(folder_fingerprint(model))
    assert len(marks) == 4


def test_a_known_file_is_not_read_again_and_a_damaged_record_is(model, monkeypatch, tmp_path):
    before = folder_fingerprint(model)
    read = []
    original = fingerprint._piece_hash
    monkeypatch.setattr(
        fingerprint, "_piece_hash", lambda path, start: (read.append(path), original(path, start))[1]
    )
    assert folder_fingerprint(model) == before and read == []
    for record in (tmp_path / "cache" / "file_hashes").iterdir():
        record.write_text("half")
    assert folder_fingerprint(model) == before and len(read) == 4 + 4
    assert folder_fingerprint(model) == before and len(read) == 4 + 4


def test_a_file_that_just_changed_is_read_again(model, monkeypatch):
    monkeypatch.setattr(fingerprint, "_SETTLED", 3600.0)
    folder_fingerprint(model)
    assert not list((model.parent / "cache").rglob("*"))


def test_a_cache_that_cannot_be_written_changes_nothing(model, tmp_path, monkeypatch):
    before = folder_fingerprint(model)
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "a file"))
    assert folder_fingerprint(model) == before
