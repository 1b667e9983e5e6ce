"""wa_id -> identity closure -> needles -> matcher: who the subject is, and how they are found.

`closure` knows whose numbers they are, `spelling` how each is spelled; `written`, `packed` and
`wrapped` find them exactly; `needles` is the filter before that, and `matcher` puts both
together. `kept` tells whether somebody else masked them and nothing else.
"""

from harness.identity.closure import (
    GROUP_DOMAIN,
    LID_DOMAIN,
    USER_DOMAIN,
    Closure,
    WaId,
    freeze,
    parse_wa_id,
    tied_to,
    variant_of,
)
from harness.identity.kept import is_masked_copy
from harness.identity.matcher import NOBODY, Matcher, Representation
from harness.identity.needles import Filter
from harness.identity.packed import Hit
from harness.identity.spelling import Identifier, draw_mask, spelled

__all__ = [
    "GROUP_DOMAIN",
    "LID_DOMAIN",
    "NOBODY",
    "USER_DOMAIN",
    "Closure",
    "Filter",
    "Hit",
    "Identifier",
    "Matcher",
    "Representation",
    "WaId",
    "draw_mask",
    "freeze",
    "is_masked_copy",
    "parse_wa_id",
    "spelled",
    "tied_to",
    "variant_of",
]
