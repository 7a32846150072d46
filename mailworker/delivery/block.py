"""Whether a relay's answer is about us and not about a recipient: then no further mail of a bulk should go there.

Relays say it in their own words, so this looks for those that the large ones use. An answer that is about our reputation or our address
gets worse with each further mail. What is only a limit of the moment, as 421 or "too many messages", is for backoff and rates. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.smtp.reply import hide_addresses

#: Words of a refusal that is about who sends: Gmail, Microsoft, Yahoo, Apple, Amazon SES, and relays that ask a block list.
_WORDS = re.compile(
    r"""
    black[ -]?list | block[ -]?list | deny[ -]?list | \b(?:is|are|was|been|ip|address|message|mail|host|sender|temporarily)\s+blocked
    | blocked\s+(?:using|by|due|because|for) | spamhaus | barracuda | spamcop | \brbl\b | \bdnsbl\b
    | unsolicited | \bspam\b | bulk\s+(?:mail|email)\s+(?:is\s+)?(?:rejected|refused|not)
    | (?:poor|bad|low)\s+(?:\w+\s+)?reputation | reputation\s+of
    | (?:sending|account)\s+(?:\w+\s+)?(?:paused|suspended|disabled|blocked)
    | not\s+accepted\s+for\s+policy\s+reasons | banned
    """,
    re.IGNORECASE | re.VERBOSE,
)

#: A mailbox that is full, or gone, or wants no mail of ours: whatever words stand beside such a code, it is the recipient's affair
#: (RFC 3463 §3.2, §3.3).
_OF_RECIPIENT = (["1"], ["2"])


def refusal(outcomes: Iterable[Outcome]) -> str | None:
    """Return what a relay says if it refuses us, without addresses; None if it does not.

    Args:
        outcomes: of one mail.
    """
    for outcome in outcomes:
        reply = outcome.reply
        if outcome.kind is OutcomeClass.REJECTED and reply is not None and _is_block(reply):
            return f"{reply.code} {reply.enhanced + ' ' if reply.enhanced else ''}{hide_addresses(reply.text)[:200]}".strip()
    return None


def _is_block(reply: Reply) -> bool:
    if reply.enhanced is not None and reply.enhanced.split(".")[1:2] in _OF_RECIPIENT:
        return False
    return reply.is_permanent and _WORDS.search(reply.text) is not None
