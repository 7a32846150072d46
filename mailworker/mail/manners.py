"""What a mail says that is one of many: that it is (`Precedence: bulk`), and how to get no more of them.

RFC 2369 has List-Unsubscribe, RFC 8058 the header that lets a mail program do it in one click. What a message says itself stays.
"""

from __future__ import annotations

from collections.abc import Iterable

PRECEDENCE = "Precedence"
LIST_UNSUBSCRIBE = "List-Unsubscribe"
LIST_UNSUBSCRIBE_POST = "List-Unsubscribe-Post"


def manners(given: Iterable[str], link: str | None) -> dict[str, str]:
    """Return the headers that a mail of many lacks.

    Args:
        given: names of the headers that it has.
        link: by which its recipient unsubscribes; None = there is none.
    """
    known = {str(name).lower() for name in given}
    headers = {} if PRECEDENCE.lower() in known else {PRECEDENCE: "bulk"}
    # One of the two alone, or beside another one's, would lead elsewhere.
    if link and not {LIST_UNSUBSCRIBE.lower(), LIST_UNSUBSCRIBE_POST.lower()} & known:
        headers[LIST_UNSUBSCRIBE] = f"<{link}>"
        headers[LIST_UNSUBSCRIBE_POST] = "List-Unsubscribe=One-Click"
    return headers
