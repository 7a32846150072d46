"""Can it be asked who wants no bulk mail? The list of the settings, looked at as a worker would look at it.

Failures are findings; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mailworker.cli import finding
from mailworker.errors import ConfigurationError, SuppressionUnavailable

if TYPE_CHECKING:
    from mailworker.cli.finding import Finding
    from mailworker.settings import Settings

_PART = "suppression"


def look(conf: Settings) -> Iterator[Finding]:
    """Look at the list, where there is one.

    Args:
        conf: the settings.
    """
    if conf.MAILWORKER_SUPPRESSION is None:
        return
    from mailworker.mail.suppression import Suppression

    try:
        Suppression.for_enqueue(conf, None)
    except (ConfigurationError, SuppressionUnavailable) as error:
        yield finding.error(
            _PART, str(error), "correct it: until then no bulk can be started, and those that are under way pause"
        )
    else:
        yield finding.ok(_PART, f"{conf.show('MAILWORKER_SUPPRESSION')} tells who gets no bulk mail")
