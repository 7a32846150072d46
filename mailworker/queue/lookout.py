"""The look of a worker's main process into the spool, once a second, in a thread of its own (DESIGN §3).

It finds what no wake-up told: mail that was put off and is due now, leases that ran out, a wake-up that was lost. It delivers
nothing; it wakes a slot through Celery, at the moment when the mail is due. A spool or a broker that is away is asked again
the next time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from mailworker import log
from mailworker.lane import Lane
from mailworker.queue.publisher import PublishError
from mailworker.spool.base import SpoolUnavailable

logger = log.get(__name__)

#: Seconds between two looks.
INTERVAL = 1.0

#: Looks between two times that it tidies: in a spool where nothing comes or goes nobody else does.
_TIDY_EACH = 60

#: Looks in a row after which mail for a mailer that this worker does not know is said to wait.
_STRANGE = 5

#: Shortest pause between two looks, whatever the spool says, seconds.
_SHORTEST = 0.02


class Lookout:
    """Looks, and wakes.

    Args:
        waits: seconds until each lane may have something ready, as far as it is at most so many ahead.
        ask: whether a worker has to be woken for a lane; from now on a wake-up counts as on its way.
        wake: wakes one.
        strangers: mailers that this worker does not know, and that had something ready at the last look.
        tidy: forgets some of what is past its retention; True if more is left.
    """

    def __init__(
        self,
        waits: Callable[[float], Mapping[Lane, float]],
        ask: Callable[[Lane], bool],
        wake: Callable[[Lane], None],
        *,
        strangers: Callable[[], Sequence[str]] = tuple,
        tidy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._waits = waits
        self._ask = ask
        self._wake = wake
        self._strangers = strangers
        self._tidy = tidy
        self._looks = 0
        #: Strangers -> looks in a row that found them waiting.
        self._waiting: dict[str, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mailworker-lookout", daemon=True)
        self._is_away = False

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a look that is under way ends by itself."""
        self._stopped.set()

    def look(self) -> float:
        """Look once, wake for what is ready, and return the seconds until the next look."""
        try:
            waits = self._waits(INTERVAL)
            for lane, wait in waits.items():
                if wait <= 0 and self._ask(lane):
                    self._wake(lane)
            self._looks += 1
            if self._looks % _TIDY_EACH == 0:
                while self._tidy() and not self._stopped.is_set():
                    pass
        except (SpoolUnavailable, PublishError) as error:
            if not self._is_away:
                what = "spool" if isinstance(error, SpoolUnavailable) else "broker"
                logger.warning("the %s is away (%s): asked each second", what, error, extra={"event": f"{what}_away"})
            self._is_away = True
            return INTERVAL
        self._is_away = False
        self._tell_of_strangers()
        return max(min((wait for wait in waits.values() if wait > 0), default=INTERVAL), _SHORTEST)

    def _tell_of_strangers(self) -> None:
        """Log, once, for which mailers mail goes on waiting: one that another worker knows is served meanwhile."""
        self._waiting = {mailer: self._waiting.get(mailer, 0) + 1 for mailer in self._strangers()}
        for mailer, looks in self._waiting.items():
            if looks == _STRANGE:
                logger.warning(
                    "mail waits for the mailer %s, which this worker does not know: is it in the MAILERS of another one?",
                    mailer,
                    extra={"event": "mailer_unknown", "mailer": mailer},
                )

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                pause = self.look()
            except Exception as error:  # noqa: BLE001 - the thread has to live: without it what was put off waits for ever
                logger.error("the look into the spool failed: %s", type(error).__name__)
                pause = INTERVAL
            self._stopped.wait(pause)
