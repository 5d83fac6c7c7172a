"""Opens the archives that `easy-dataset-share` locks: a ZIP behind a password that its authors publish.

The format (from that tool's source, version 0.5.0): 16 bytes of salt, then a Fernet token
(github.com/fernet/spec), whose key is PBKDF2-HMAC-SHA256 of the password with 100,000 iterations; inside is a
plain ZIP, where the tool's canaries are files of their own. What comes out is checked against a pinned
SHA-256: AES in NumPy (29 MB take a few seconds) spares a compiled library that nothing else here needs.
"""

import base64
import binascii
import hashlib
import hmac
from functools import cache

import numpy as np
from numpy.typing import NDArray

from turncoat.errors import UserError

Bytes = NDArray[np.uint8]

_SALT, _ITERATIONS = 16, 100_000
_VERSION, _HEADER, _MAC = 0x80, 1 + 8 + 16, 32  # version, time, initialisation vector; HMAC-SHA256 at the end
_AT_ONCE = 1 << 17  # blocks of 16 bytes


def unlock(locked: bytes, password: str) -> bytes:
    """The content of an archive that `easy-dataset-share` wrote.

    Raises:
        UserError: It is another kind of file, it is damaged, or the password is another one.
    """
    salt, text = locked[:_SALT], locked[_SALT:]
    try:
        token = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise UserError("no archive of easy-dataset-share: what follows its salt is not base64") from error
    if len(token) < _HEADER + 16 + _MAC or token[0] != _VERSION or (len(token) - _HEADER - _MAC) % 16:
        raise UserError("no archive of easy-dataset-share: what follows its salt is not a Fernet token")
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS, dklen=32)
    signed, mac = token[:-_MAC], token[-_MAC:]
    if not hmac.compare_digest(hmac.digest(key[:16], signed, "sha256"), mac):
        raise UserError("the archive is damaged, or its password is not the one that is known here")
    return _decrypt(signed[_HEADER:], key[16:], signed[_HEADER - 16 : _HEADER])


def _decrypt(content: bytes, key: bytes, initial: bytes) -> bytes:
    """AES-128 in CBC mode (NIST FIPS 197, SP 800-38A) of whole blocks, without the padding."""
    blocks = np.frombuffer(content, dtype=np.uint8).reshape(-1, 16)
    plain = np.empty_like(blocks)
    round_keys = _round_keys(key)
    for start in range(0, len(blocks), _AT_ONCE):
        plain[start : start + _AT_ONCE] = _inverse_cipher(blocks[start : start + _AT_ONCE], round_keys)
    plain[0] ^= np.frombuffer(initial, dtype=np.uint8)
    plain[1:] ^= blocks[:-1]
    return plain.tobytes()[: -int(plain[-1, -1])]


def _inverse_cipher(blocks: Bytes, round_keys: Bytes) -> Bytes:
    """Each of the blocks [n, 16] deciphered by itself; `round_keys` are [11, 16]."""
    inverse_box = np.argsort(_box()).astype(np.uint8)
    # Row r of the 4 x 4 state, which is stored column by column, moves r columns to the right.
    shifted = [4 * ((column - row) % 4) + row for column in range(4) for row in range(4)]
    factors = [_times(factor) for factor in (14, 11, 13, 9)]
    state = blocks ^ round_keys[10]
    for number in range(9, 0, -1):
        state = inverse_box[state[:, shifted]] ^ round_keys[number]
        columns = state.reshape(-1, 4, 4)
        mixed = factors[0][columns]
        for turn in (1, 2, 3):
            mixed ^= factors[turn][np.roll(columns, -turn, axis=2)]
        state = mixed.reshape(-1, 16)
    return inverse_box[state[:, shifted]] ^ round_keys[0]


def _round_keys(key: bytes) -> Bytes:
    words = [np.frombuffer(key[i : i + 4], dtype=np.uint8) for i in range(0, 16, 4)]
    constant = 1
    for number in range(4, 44):
        word = words[-1]
        if number % 4 == 0:
            word = _box()[np.roll(word, -1)]
            word[0] ^= constant
            constant = int(_times(2)[constant])
        words.append(words[-4] ^ word)
    return np.concatenate(words).reshape(11, 16)


def _product(a: int, b: int) -> int:
    """In the field of 256 elements, modulo x^8 + x^4 + x^3 + x + 1."""
    found = 0
    while b:
        found ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return found


@cache
def _times(factor: int) -> Bytes:
    return np.array([_product(value, factor) for value in range(256)], dtype=np.uint8)


@cache
def _box() -> Bytes:
    """The S-box: the inverse in the field, then an affine map."""
    powers = [1]  # of 3, which generates all elements but 0
    while len(powers) < 255:
        powers.append(_product(powers[-1], 3))
    inverse = {value: powers[-i % 255] for i, value in enumerate(powers)} | {0: 0}
    found = []
    for value in range(256):
        twice = inverse[value] * 0x101  # two copies side by side, so that a shift is a rotation
        turned = [(twice >> (8 - turn)) & 0xFF for turn in range(5)]
        found.append(turned[0] ^ turned[1] ^ turned[2] ^ turned[3] ^ turned[4] ^ 0x63)
    return np.array(found, dtype=np.uint8)
