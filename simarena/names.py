"""What a name may be that may become a file's: one rule for agents, versions and whatever else gives a path its parts.

In: a name. Out: the name, or what is wrong with it. Knows no file; `outputs.inside` makes paths of names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from simarena.errors import ScenarioError

LONGEST = 120
"""Bytes of a name in UTF-8: with "@version" and an ending it fits the file systems that hold 143."""
SIGNS = '/\\:*?"<>|'
"""Separators of some system, or signs that some system refuses."""
DEVICES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789\u00b9\u00b2\u00b3"
}
"""Windows opens a device under these names, whatever their ending."""


def fault(name: str, longest: int = LONGEST) -> str:
    """What keeps a name from being that of a file on every system; "": nothing does."""
    barred = next((sign for sign in name if sign in SIGNS), "")
    unseen = next((sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")), "")
    ends = next((sign for sign in (name[:1], name[-1:]) if sign in (".", " ")), "") if name else ""
    if not name:
        return "is empty"
    if barred:
        return f"holds {barred!r}; a name is a file's too, so none of {SIGNS} may be in it"
    if unseen:
        return f"holds {unseen!a}, which nobody sees; leave it out"
    if ends:
        return f"begins or ends with {ends!r}; a file's name does neither with a dot or a space"
    if unicodedata.normalize("NFC", name) != name:
        return "has accents as signs of their own; write it in composed characters (Unicode NFC)"
    if name.partition(".")[0].rstrip().upper() in DEVICES:
        return "is a device on Windows; choose another name"
    if (size := len(name.encode())) > longest:
        return f"has {size} bytes in UTF-8; a name has at most {longest}"
    return ""


def checked(name: str, place: str) -> str:
    """The name. ScenarioError where it could be no file's; `place` says where the name was given."""
    if found := fault(name):
        raise ScenarioError(f"{place}: {name!r} {found}")
    return name


def distinct(names: Iterable[str], place: str) -> None:
    """ScenarioError where two names would be one file's, capitals not being told apart."""
    seen: dict[str, str] = {}
    for name in names:
        if other := seen.get(name.casefold()):
            raise ScenarioError(
                f"{place}: {other!r} and {name!r} would be one file on many systems; rename one of them"
            )
        seen[name.casefold()] = name
