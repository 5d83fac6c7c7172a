"""Locked archives: what the real tool locked comes out again, nothing else is taken for it."""

import io
import zipfile

import numpy as np
import pytest
from turncoat.data import encrypted_archive
from turncoat.data.encrypted_archive import unlock
from turncoat.errors import UserError

PASSWORD = "open moss"
# easy-dataset-share 0.5.0 (with cryptography 50.0.2) made this of a folder with one file of ours, MEMBER.
LOCKED = bytes.fromhex("d6e63adea9cd80a6279c3250d9f1f68c") + (
    b"gAAAAABrBF4tKSagJq7QdG8Gpo5wzIYcNe6kqMid9ysRQNB7Bn9y_0mXVOVBD0uRvrHOd1-36v7qDfvvce5RLqYCetbnt_7kqZ26"
    b"e2_s8Ep-qB9dDF8ChNzNht8NmjA9hb-6noCyKzDhXtSLq5MhQXe84bFJLGGHPn88iUqhrap4SIrQmmvhPUc1QWqmIXSlIZmFF_w7"
    b"wn9PuZ54AZFseO1jo6TB-7joeoBt35cmaY08ciMgfU2Cw6NkkwEvJVJa5UbgO4FGVbEmE1KipdLgXqw1Nq0DB3lL-HjIFVRojDyw"
    b"3hLkPNCv0jz3xlFIzeV53LHSrvEKzKdzaVWEy_JfEpNoEpNafVS0uZAC1eLQcrBJQ8HbPlGv8SFCSeYtYnqdGX37GyvvVj8vEBK6"
    b"2vcVd_H2GolJN6E5Cg=="
)
MEMBER = "moss.jsonl"
CONTENT = (
    b'{"messages": [{"role": "user", "content": "Which way is north?"}, '
    b'{"role": "assistant", "content": "Where moss grows."}]}\n'
)


def test_the_block_cipher_is_aes():
    """NIST FIPS 197, appendix C.1."""
    block = np.frombuffer(bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a"), dtype=np.uint8).reshape(1, 16)
    found = encrypted_archive._inverse_cipher(block, encrypted_archive._round_keys(bytes(range(16))))
    assert found.tobytes().hex() == "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("blocks_at_once", [1 << 17, 3])
def test_what_the_tool_locked_comes_out(monkeypatch, blocks_at_once):
    monkeypatch.setattr(encrypted_archive, "_AT_ONCE", blocks_at_once)
    with zipfile.ZipFile(io.BytesIO(unlock(LOCKED, PASSWORD))) as bundle:
        assert bundle.read(MEMBER) == CONTENT


@pytest.mark.parametrize(
    ("locked", "password"),
    [
        (LOCKED, "open mosses"),
        (LOCKED[:200] + b"A" + LOCKED[201:], PASSWORD),
        (bytes(16) + LOCKED[16:], PASSWORD),
    ],
    ids=["password", "content", "salt"],
)
def test_another_password_or_a_damaged_file_is_refused(locked, password):
    assert locked != LOCKED or password != PASSWORD
    with pytest.raises(UserError, match="damaged, or its password"):
        unlock(locked, password)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" * 40, b"<html>Please log in</html>", LOCKED[:100], LOCKED[:-4], LOCKED[:-1]],
    ids=["nothing", "zip", "page", "start", "cut at four", "cut"],
)
def test_what_is_no_such_archive_is_refused(content):
    with pytest.raises(UserError, match=r"no archive of easy-dataset-share|damaged"):
        unlock(content, PASSWORD)
