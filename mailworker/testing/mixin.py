"""The same as the pytest plugin for `unittest`: a mixin whose tests keep their mail in `self.mail_outbox`.

It works around each test's run, so that no `setUp` has to call it; mail of a `setUpClass` is kept apart from that of tests. A worker
is shared by the tests of a process and ends with it.
"""

from __future__ import annotations

import atexit
import unittest
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from mailworker.testing import expectation
from mailworker.testing.destination import outbox, relayed_to
from mailworker.testing.smtpd import listening

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta

    from mailworker.mail.message import EmailMessage
    from mailworker.testing.expectation import Expected
    from mailworker.testing.mail_worker import MailWorker, Station
    from mailworker.testing.received import ReceivedMessage
    from mailworker.testing.smtpd import ScriptedServer

    class _Case(unittest.TestCase):
        """What a mixin's class also is."""
else:
    _Case = object

T = TypeVar("T")

_station: Station | None = None

#: unittest leaves the lines of such a module out of a failure's traceback.
__unittest = True


class MailTestMixin(_Case):
    """For test cases of code that sends mail: `class OrderTest(MailTestMixin, unittest.TestCase)`.

    All mail of a test is delivered at once, in its own process, and is in `mail_outbox`; unless the test starts an SMTP server
    or a worker, to which it goes from then on.

    Attributes:
        mail_outbox: `mailworker.outbox`, a new list for each test.

    Raises:
        TypeError: a class has it behind `unittest.TestCase`, whose tests would send their mail to the project's real queue.
    """

    mail_outbox: list[EmailMessage]

    def __init_subclass__(cls, *args: Any, **kwargs: Any) -> None:
        super().__init_subclass__(*args, **kwargs)
        bases = cls.__mro__
        if unittest.TestCase in bases and bases.index(unittest.TestCase) < bases.index(MailTestMixin):
            raise TypeError(
                f"{cls.__name__} has MailTestMixin behind unittest.TestCase, where it does nothing; expected "
                f"class {cls.__name__}(MailTestMixin, ...)"
            )

    @classmethod
    def setUpClass(cls) -> None:
        """Keep what the classes behind it send from the project's queue, too; before all else if it is called first."""
        cls.enterClassContext(outbox())
        super().setUpClass()

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test with an outbox of its own."""
        with self._mail():
            return super().run(result)

    def debug(self) -> None:
        """Run the test without collecting its result."""
        with self._mail():
            super().debug()

    @overload
    def assert_mail_sent(
        self, *, among: None = None, times: int | None = 1, **expected: Unpack[Expected]
    ) -> list[EmailMessage]: ...
    @overload
    def assert_mail_sent(
        self, *, among: ScriptedServer, times: int | None = 1, **expected: Unpack[Expected]
    ) -> list[ReceivedMessage]: ...
    @overload
    def assert_mail_sent(
        self, *, among: Iterable[T], times: int | None = 1, **expected: Unpack[Expected]
    ) -> list[T]: ...
    def assert_mail_sent(
        self,
        *,
        among: Iterable[Any] | ScriptedServer | None = None,
        times: int | None = 1,
        **expected: Unpack[Expected],
    ) -> list[Any]:
        """Fail unless just so many messages like this were sent, see `mailworker.testing.assert_mail_sent`."""
        __tracebackhide__ = True
        return expectation.assert_mail_sent(among=among, times=times, **expected)

    def assert_no_mail_sent(
        self, *, among: Iterable[Any] | ScriptedServer | None = None, **expected: Unpack[Expected]
    ) -> None:
        """Fail if a message like this was sent, see `mailworker.testing.assert_no_mail_sent`."""
        __tracebackhide__ = True
        expectation.assert_no_mail_sent(among=among, **expected)

    def run_due(self, at: datetime | None = None, *, after: timedelta | float | None = None) -> int:
        """Let the time come for mail with `at=` or `delay=`, as `mailworker.run_due`; after the test it is now again."""
        import mailworker

        return mailworker.run_due(at, after=after)

    def start_smtp_server(self) -> ScriptedServer:
        """Start an SMTP server that the rest of the test's mail is delivered to; it ends with the test."""
        return self._serve(0)

    def start_mail_worker(self) -> tuple[MailWorker, ScriptedServer]:
        """Start a worker process with a queue of its own, and the SMTP server that it delivers to; they end by themselves.

        Raises:
            ConfigurationError: there is neither a redis-server nor fakeredis.
            PartFailed: a process does not come up.
        """
        station = _the_station()
        server = self._serve(station.port)
        return self.enterContext(station.lend(server)), server

    @contextmanager
    def _mail(self) -> Iterator[None]:
        with outbox() as messages:
            self.mail_outbox = messages
            yield

    def _serve(self, port: int) -> ScriptedServer:
        server = self.enterContext(listening(port))
        self.enterContext(relayed_to(server))
        return server


def _the_station() -> Station:
    global _station
    if _station is None:
        from mailworker.testing.mail_worker import Station

        _station = Station()
        atexit.register(_station.close)
    return _station
