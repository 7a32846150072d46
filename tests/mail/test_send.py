from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest

from mailworker import mail, settings
from mailworker.errors import BadHeaderError, ConfigurationError
from mailworker.lane import Lane

OPTIONS: dict[str, Any] = {
    "delay": 60,
    "expires": 3600,
    "lane": "bulk",
    "key": "k",
    "group": "g",
    "on_in_doubt": "hold",
}


class Recorder:
    """Any object with send_messages is a connection."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def send_messages(self, messages: Any) -> int:
        self.calls.append(list(messages))
        return len(messages)


class Built(Recorder):
    last: Built

    def __init__(self, fail_silently: bool = False, username: Any = "unset", password: Any = "unset") -> None:
        super().__init__()
        self.given = (fail_silently, username, password)
        Built.last = self


@pytest.mark.parametrize("function", ["send_mail", "send_mass_mail", "mail_admins", "mail_managers", "get_connection"])
def test_the_signature_begins_as_djangos(django_mail, function):
    theirs = list(inspect.signature(getattr(django_mail, function)).parameters.values())
    ours = list(inspect.signature(getattr(mail, function)).parameters.values())
    if function == "get_connection":
        theirs = theirs[:2]
    assert [(p.name, p.default, p.kind) for p in ours[: len(theirs)]] == [(p.name, p.default, p.kind) for p in theirs]
    more = [p for p in ours[len(theirs) :] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is None for p in more)


@pytest.mark.parametrize("cls", ["EmailMessage", "EmailMultiAlternatives"])
@pytest.mark.parametrize("method", ["__init__", "attach", "attach_file", "message", "recipients", "get_connection"])
def test_the_signature_of_a_message_is_djangos(django_mail, cls, method):
    theirs = inspect.signature(getattr(getattr(django_mail, cls), method)).parameters.values()
    ours = inspect.signature(getattr(getattr(mail, cls), method)).parameters.values()
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]


def test_send_mail_sends_one_message_to_all(outbox):
    assert mail.send_mail("s", "b", "f@x", ("a@x", "b@x"), html_message="<p>") == 1
    assert outbox[0].to == ["a@x", "b@x"]
    assert outbox[0].alternatives == [("<p>", "text/html")]
    assert outbox[0].from_email == "f@x"
    assert outbox[0].queue_options is None


def test_send_mail_to_nobody_sends_nothing(outbox):
    assert mail.send_mail("s", "b", None, []) == 0
    assert outbox == []


def test_a_connection_that_is_given_is_used():
    connection = Recorder()
    assert mail.send_mail("s", "b", "f@x", ["a@x"], connection=connection) == 1
    assert mail.EmailMessage("s", "b", "f@x", ["a@x"], connection=connection).send() == 1
    assert mail.send_mass_mail([("s", "b", "f@x", ["a@x"])] * 3, connection=connection) == 3
    with settings.override(ADMINS=["a@x.example"], MANAGERS=["m@x.example"]):
        mail.mail_admins("s", "b", connection=connection)
        mail.mail_managers("s", "b", connection=connection)
    assert [len(call) for call in connection.calls] == [1, 1, 3, 1, 1]
    assert connection.calls[2][0].connection is connection


def test_login_and_silence_go_to_the_backend():
    with settings.override(EMAIL_BACKEND="tests.mail.test_send.Built"):
        mail.send_mail("s", "b", "f@x", ["a@x"], True, "user", "pass")
        assert Built.last.given == (True, "user", "pass")
        mail.send_mass_mail([("s", "b", "f@x", ["a@x"])], True, "user", "pass")
        assert Built.last.given == (True, "user", "pass")
        mail.send_mail("s", "b", "f@x", ["a@x"])
        assert Built.last.given == (False, "unset", "unset")
        mail.EmailMessage("s", "b", "f@x", ["a@x"]).send(fail_silently=True)
        assert Built.last.given == (True, "unset", "unset")
        with settings.override(ADMINS=["a@x.example"]):
            mail.mail_admins("s", "b", fail_silently=True)
        assert Built.last.given == (True, "unset", "unset")


def test_silence_of_one_send_is_not_that_of_the_next():
    message = mail.EmailMessage("s", "b", "f@x", ["a@x"])
    with settings.override(EMAIL_BACKEND="tests.mail.test_send.Built"):
        message.send(fail_silently=True)
        message.send()
        assert Built.last.given[0] is False


def test_send_mass_mail_sends_a_message_for_each_tuple_over_one_connection(outbox):
    rows = (("s1", "b", None, ["a@x"]), ("s2", "b", "f@x", ["b@x", "c@x"]))
    assert mail.send_mass_mail(iter(rows)) == 2
    assert [(m.subject, m.from_email, m.to) for m in outbox] == [
        ("s1", "webmaster@localhost", ["a@x"]),
        ("s2", "f@x", ["b@x", "c@x"]),
    ]
    with settings.override(EMAIL_BACKEND="tests.mail.test_send.Built"):
        assert mail.send_mass_mail(rows) == 2
    assert len(Built.last.calls) == 1
    assert mail.send_mass_mail([]) == 0


def test_one_bad_header_keeps_all_of_a_mass_mail_from_going(outbox):
    with pytest.raises(BadHeaderError):
        mail.send_mass_mail([("s", "b", None, ["a@x"]), ("s\n", "b", None, ["b@x"])], fail_silently=True)
    assert outbox == []


@pytest.mark.parametrize(("function", "setting"), [(mail.mail_admins, "ADMINS"), (mail.mail_managers, "MANAGERS")])
def test_admins_and_managers_get_mail_from_the_server(function, setting, outbox):
    people = [("Nobody", "a@x.example"), "Else <b@x.example>"]
    with settings.override(**{setting: people}, SERVER_EMAIL="server@x.example", EMAIL_SUBJECT_PREFIX="[Shop] "):
        assert function("s", "b", html_message="<p>") is None
    (message,) = outbox
    assert message.subject == "[Shop] s"
    assert message.from_email == "server@x.example"
    assert message.to == ["a@x.example", "b@x.example"]
    assert message.alternatives == [("<p>", "text/html")]


@pytest.mark.parametrize("function", [mail.mail_admins, mail.mail_managers])
def test_nothing_happens_where_there_are_no_people(function, outbox):
    with settings.override(EMAIL_BACKEND="no.such.Backend"):
        function("s", "b")
    assert outbox == []


def every_way(**options: Any) -> None:
    mail.send_mail("s", "b", "f@x", ["a@x"], **options)
    mail.send_mass_mail([("s", "b", "f@x", ["a@x"])], **options)
    mail.EmailMessage("s", "b", "f@x", ["a@x"]).send(**options)
    with settings.override(ADMINS=["a@x.example"], MANAGERS=["m@x.example"]):
        mail.mail_admins("s", "b", **options)
        mail.mail_managers("s", "b", **options)


def test_every_way_to_send_takes_queue_options(outbox):
    every_way(**OPTIONS)
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    every_way(at=moment)
    assert len(outbox) == 10
    for message in outbox[:5]:
        assert message.queue_options == mail.QueueOptions(**OPTIONS)
        assert message.queue_options.lane is Lane.BULK
    assert all(message.queue_options.at == moment for message in outbox[5:])


def test_using_names_the_mailer(outbox):
    every_way(using="default")
    assert len(outbox) == 5
    with settings.override(MAILERS={"other": {"BACKEND": "tests.mail.test_send.Built"}}):
        every_way(using="other")
        mail.send_mail("s", "b", "f@x", ["a@x"], auth_user="u", auth_password="p", using="other")
        assert Built.last.given == (False, "u", "p")
    assert len(outbox) == 5
    with pytest.raises(ConfigurationError, match="none"):
        mail.send_mail("s", "b", "f@x", ["a@x"], using="none")


def test_a_mailer_and_a_connection_together_are_a_type_error():
    connection = Recorder()
    with settings.override(ADMINS=["a@x.example"], MANAGERS=["m@x.example"]):
        for attempt in (
            lambda: mail.send_mail("s", "b", "f@x", ["a@x"], connection=connection, using="default"),
            lambda: mail.send_mass_mail([], connection=connection, using="default"),
            lambda: mail.EmailMessage("s", "b", "f@x", ["a@x"], connection=connection).send(using="default"),
            lambda: mail.mail_admins("s", "b", connection=connection, using="default"),
            lambda: mail.mail_managers("s", "b", connection=connection, using="default"),
        ):
            with pytest.raises(TypeError, match="both given"):
                attempt()
    assert connection.calls == []


@pytest.mark.parametrize("backend", ["mailworker.mail.backends.console.EmailBackend", "tests.mail.test_send.Built"])
def test_a_backend_that_is_no_queue_refuses_queue_options(backend, capsys):
    with settings.override(EMAIL_BACKEND=backend):
        with pytest.raises(ConfigurationError, match="delay=, lane= needs a queue") as caught:
            mail.send_mail("s", "b", "f@x", ["a@x"], delay=5, lane="high")
        assert backend in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_wrong_option_is_told_before_anything_is_built():
    with settings.override(EMAIL_BACKEND="no.such.Backend"), pytest.raises(ValueError, match="lane"):
        mail.send_mail("s", "b", "f@x", ["a@x"], lane="fast")


@pytest.mark.parametrize("function", [mail.mail_admins, mail.mail_managers])
def test_a_wrong_option_is_told_where_there_are_no_people_too(function, outbox):
    with pytest.raises(TypeError, match="dely"):
        function("s", "b", dely=5)
    with pytest.raises(ValueError, match="lane"):
        function("s", "b", lane="fast")


def test_one_key_is_one_mail(outbox):
    rows = [("s", "b", None, ["a@x"]), ("s", "b", None, ["b@x"])]
    with pytest.raises(ValueError, match="one key names one mail"):
        mail.send_mass_mail(rows, key="k")
    assert outbox == []
    assert mail.send_mass_mail(rows[:1], key="k") == 1


def test_a_bad_header_is_raised_before_a_connection_is_asked_for():
    class Own(mail.EmailMessage):
        def get_connection(self, fail_silently: bool = False) -> Any:
            raise AssertionError

    with pytest.raises(BadHeaderError):
        Own("s\n", "b", "f@x", ["a@x"]).send()
    with pytest.raises(BadHeaderError):
        Own("s", "b", "f@x", bcc=["a@x\r"]).send(fail_silently=True)


def test_an_overridden_get_connection_and_recipients_are_honoured(outbox):
    connection = Recorder()

    class Own(mail.EmailMessage):
        def get_connection(self, fail_silently: bool = False) -> Any:
            return connection

        def recipients(self) -> list[str]:
            return ["own@x"]

    assert Own("s", "b", "f@x").send() == 1
    assert outbox == []
    assert connection.calls[0][0].recipients() == ["own@x"]
