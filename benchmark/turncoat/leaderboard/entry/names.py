"""Names that a reader can tell apart: printable, normalised, one script a word, compared by their look.

check_name("SGTR")                                # "SGTR"; a ValueError says what is wrong with another
skeleton("\u0405G\u0422R-1") == skeleton("sgtr l")       # True: Cyrillic capitals, 1 for l, another separator

The table of look-alikes is a small part of Unicode's (UTS 39, confusables.txt): Greek, Cyrillic, Armenian.
Letters of scripts that are not listed here are refused.
"""

import re
import unicodedata

_WRITTEN_TOGETHER = frozenset(("HANGUL", "CJK", "HIRAGANA", "KATAKANA"))
_SCRIPTS = _WRITTEN_TOGETHER | {
    "LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI",
    "TAMIL", "TELUGU", "THAI",
}  # fmt: skip
# Latin letter -> letters of other scripts that look like it. Some capitals look like another letter than
# their small forms do, so they are replaced before the case is folded.
_CAPITALS = {
    "b": "\u0392\u0412",
    "h": "\u0397\u041d",
    "m": "\u039c",
    "n": "\u039d",
    "p": "\u0420",
    "y": "\u03a5",
}
_SMALL = {
    "a": "\u03b1\u0251\u0430", "b": "\u03b2\u0432\u044c", "c": "\u0441", "d": "\u0501", "e": "\u03b5\u0435",
    "g": "\u0581", "h": "\u043d\u04bb\u0570", "i": "\u03b9\u0456", "j": "\u0458", "k": "\u03ba\u043a",
    "l": "\u04cf\u01c0\u056c|", "m": "\u043c", "n": "\u03b7\u043f\u0578", "o": "\u03bf\u03c3\u043e\u0585",
    "p": "\u03c1\u0440\u0584", "q": "\u051b\u0566", "r": "\u0433", "s": "\u0455", "t": "\u03c4\u0442",
    "u": "\u03bc\u03c5\u057d", "v": "\u03bd\u0475", "w": "\u03c9\u051d", "x": "\u03c7\u0445",
    "y": "\u03b3\u0443", "z": "\u03b6",
}  # fmt: skip
_FOLDS = [
    str.maketrans({char: latin for latin, chars in table.items() for char in chars})
    for table in (_CAPITALS, _SMALL)
]
_ALIKE = (("rn", "m"), ("vv", "w"), ("i", "l"), ("1", "l"), ("0", "o"), ("5", "s"))


def check_name(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: It is not printable, not in Unicode's form NFKC, has blanks that are not seen, no letter
            or digit, a letter of an unusual script, or a word of two scripts.
    """
    if not text.isprintable():
        raise ValueError("a name has printable characters only")
    if (normal := " ".join(unicodedata.normalize("NFKC", text).split())) != text:
        raise ValueError(f"a name is written in Unicode's form NFKC with single blanks: {normal!a}")
    if not any(char.isalnum() for char in text):
        raise ValueError("a name has a letter or a digit")
    for word in re.findall(r"\w+", text):
        scripts = {_script(char) for char in word if char.isalpha()}
        if unusual := scripts - _SCRIPTS:
            raise ValueError(f"a name has no letters of {', '.join(sorted(unusual))}")
        if len(scripts) > 1 and not scripts <= _WRITTEN_TOGETHER:
            raise ValueError(f"the word {word!a} mixes {' and '.join(sorted(scripts))}: write it in one")
    return text


def skeleton(text: str) -> str:
    """The name with one character for all that look alike, without case, accents and separators."""
    for fold in _FOLDS:
        text = unicodedata.normalize("NFKD", text).translate(fold).casefold()
    text = "".join(_plain(char) for char in text)
    for seen, meant in _ALIKE:
        text = text.replace(seen, meant)
    return text


def _script(char: str) -> str:
    name = unicodedata.name(char, "?")
    return name if "FILLER" in name else name.split()[0]


def _plain(char: str) -> str:
    """A letter or digit as it is, an accented or reshaped Latin letter as its plain one, nothing else."""
    if char.isascii() or not char.isalnum():
        return char if char.isalnum() else ""
    name = unicodedata.name(char, "")
    if name.startswith("LATIN") and (plain := re.search(r"\b[A-Z]\b", name)):
        return plain[0].lower()
    return str(unicodedata.digit(char, "" if "FILLER" in name else char))
