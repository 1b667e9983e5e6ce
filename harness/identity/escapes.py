"""Texts as programs escape them, decoded in place: every character stays where it is.

An escape becomes the character that it means, followed by as much filling as it was long. So
what is found in the decoded text stands at the same place in the text itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Pasted along with numbers, and seen by nobody: what they stand between belongs together.
INVISIBLE: Final = (
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff\u20e3"
)
SEPARATORS: Final = (
    " \t()[]./-~\u00a0\u00b7\u1680"
    + "".join(map(chr, (*range(0x2000, 0x200B), *range(0x2010, 0x2016))))
    + "\u2022\u2024\u2027\u2028\u2029\u202f\u205f\u2212\u2215\u3000"
    + "\ufe63\uff08\uff09\uff0d\uff0e\uff0f"
)
"""What may stand between the digits of one number."""

FILL: Final = "\ue000"
"""What is left over where an escape was decoded; it means nothing."""
OPAQUE: Final = "\ue001"
"""A character that is neither digit nor separator."""
_JOIN: Final = "\u200b"

_HEX: Final = "[0-9A-Fa-f]"
# A character of several bytes, each escaped: in URLs, once or several times over, and in
# quoted-printable.
_PERCENT: Final = "%(?:25)*"
_MANY: Final = (
    rf"{_PERCENT}[CDcd]{_HEX}{_PERCENT}[89ABab]{_HEX}"
    rf"|{_PERCENT}[Ee]{_HEX}(?:{_PERCENT}[89ABab]{_HEX}){{2}}"
    r"|=[CD][0-9A-F]=[89AB][0-9A-F]|=E[0-9A-F](?:=[89AB][0-9A-F]){2}"
)
_ESCAPE: Final = re.compile(
    rf"(?P<many>{_MANY})|{_PERCENT}(?P<url>{_HEX}{{2}})"
    rf"|(?<!\\)\\+(?:u(?P<json>{_HEX}{{4}})|x(?P<hex>{_HEX}{{2}})|(?P<tab>t)|(?P<slash>/))"
    r"|=(?P<plus>2B)|(?<=[0-9])=(?P<printable>20|09|28|29|2[DEF])(?=[=0-9(])"
    r"|(?P<printables>(?:=3[0-9]){7,})|=(?P<at>40)(?=[a-z])"
    r"|(?P<soft>=(?:\r?\n|(?:\\+r)?\\+n))|(?P<fold>(?:\r?\n|(?<!\\)\\+r\\+n)[ \t])"
)
_MAY_ESCAPE: Final = re.compile(r"[%=\\]|\n[ \t]")
_ASCII: Final = 0x80
_BYTE: Final = re.compile(rf"[%=](?:25)*({_HEX}{{2}})")
# In forms of web pages a plus sign stands for a blank; one with nothing before it does not.
_FORM_BLANK: Final = re.compile(rf"(?<=[0-9A-Za-z){FILL}])\+(?=[0-9(%])")


def readings(text: str) -> Iterator[str]:
    """Yield the ways in which a text may be meant, each as long as the text.

    First with its escapes decoded, if it has any, then as it stands, then as part of a form
    of a web page.
    """
    text = text.replace(FILL, OPAQUE)
    decoded = _ESCAPE.sub(_decoded, text) if _MAY_ESCAPE.search(text) else text
    if decoded != text:
        yield decoded
    yield text
    if "+" in decoded and (form := _FORM_BLANK.sub(" ", decoded)) != decoded:
        yield form


def _decoded(match: re.Match[str]) -> str:
    """Return an escape as the character it means, filled up to its length."""
    if match["printables"]:
        return "".join(token[-1] + FILL * 2 for token in re.findall("=3[0-9]", match[0]))
    return _character(match) + FILL * (len(match[0]) - 1)


def _character(match: re.Match[str]) -> str:
    if match["many"]:
        raw = bytes.fromhex("".join(_BYTE.findall(match[0])))
        character = raw.decode("utf-8", "replace")
        return character if character in SEPARATORS + INVISIBLE else OPAQUE
    if code := match["url"] or match["json"] or match["hex"] or match["plus"] or match["printable"]:
        character = chr(int(code, 16))
        # A byte above ASCII is part of a character of several bytes.
        known = match["json"] or character.isascii()
        return character if known and character not in (FILL, OPAQUE) else OPAQUE
    if match["soft"] or match["fold"]:
        return _JOIN
    return "@" if match["at"] else "\t" if match["tab"] else "/"
