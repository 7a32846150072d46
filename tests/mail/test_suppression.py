from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailworker import settings
from mailworker.errors import ConfigurationError, SuppressionUnavailable
from mailworker.mail.bulk_note import BulkNote
from mailworker.mail.suppression import Suppression, named
from mailworker.mail.suppression_list import SuppressionFile, SuppressionList


def listed(*lines):
    return SuppressionList(lines, "the list")


def no_more(address: str) -> bool:
    """A project's function."""
    assert address == address.casefold()
    return address.startswith("gone")


def broken(address: str) -> bool:
    raise RuntimeError(f"no database for {address}")


async def awaitable(address: str) -> bool:
    return False


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class TestList:
    def test_addresses_and_domains_are_in_it_in_any_case_of_letters(self):
        some = listed("Ann@Example.com", "example.NET", "@example.org")
        for address in ("ann@example.com", "ANN@EXAMPLE.COM", "x@example.net", "y@Example.org"):
            assert some.holds(address)
        for address in ("bob@example.com", "x@sub.example.net", "ann@example.co", "x@example.network"):
            assert not some.holds(address)
        assert len(some) == 3

    def test_comments_empty_lines_and_names_beside_addresses_are_passed_over(self):
        some = listed(
            "# all of 2025", "", "  ", "ann@example.com # asked", "Bob <bob@example.com>\n", "a#b@example.com"
        )
        assert [some.holds(f"{name}@example.com") for name in ("ann", "bob", "a#b", "a")] == [True, True, True, False]
        assert len(some) == 3

    def test_domains_beyond_ascii_are_those_of_the_envelope(self):
        some = listed("bücher.example", "jörg@müller.example")
        assert some.holds("x@xn--bcher-kva.example")
        assert some.holds("jörg@xn--mller-kva.example")

    @pytest.mark.parametrize(
        "line", ["email", "ann@", "@", "not an address", "ann@example.com, bob@example.com", "ann@@x.org"]
    )
    def test_a_line_that_is_neither_is_told_by_its_number_and_not_repeated(self, line):
        with pytest.raises(SuppressionUnavailable) as error:
            listed("ann@example.com", line)
        assert str(error.value).startswith(
            "the list, line 2, is neither an address nor a domain: write ann@example.com"
        )

    def test_a_million_addresses_take_a_tenth_of_what_their_texts_would(self):
        program = (
            "import sys\n"
            "from mailworker.mail.suppression_list import SuppressionList\n"
            "some = SuppressionList((f'user{n}@example.com' for n in range(1_000_000)), 'x')\n"
            "assert some.holds('user999999@example.com') and not some.holds('user1000000@example.com')\n"
            "print(sum(map(sys.getsizeof, some._heaps)) >> 20, len(some))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        megabytes, number = map(int, done.stdout.split())
        assert (megabytes < 12, number) == (True, 1_000_000)


class TestFile:
    def test_a_change_is_seen_after_a_second_and_not_looked_for_before(self, tmp_path):
        path, clock = tmp_path / "list.txt", Clock()
        path.write_text("\ufeffann@example.com\n", encoding="utf-8")
        file = SuppressionFile(path, clock)
        assert file.holds("ann@example.com")
        assert not file.holds("bob@example.com")
        replace(path, "bob@example.com\n")
        assert not file.holds("bob@example.com")
        clock.now += 1
        assert file.holds("bob@example.com")

    def test_while_it_is_written_those_of_before_count_too(self, tmp_path):
        path, clock = tmp_path / "list.txt", Clock()
        path.write_text("ann@example.com\n")
        file = SuppressionFile(path, clock)
        assert file.holds("ann@example.com")
        # An editor has cut it to nothing, and goes on.
        replace(path, "")
        clock.now += 1
        assert file.holds("ann@example.com")
        replace(path, "bob@example.com\n")
        clock.now += 1
        assert file.holds("bob@example.com")
        clock.now += 1
        assert not file.holds("ann@example.com")

    def test_one_that_is_missing_is_neither_a_yes_nor_a_no(self, tmp_path):
        file = SuppressionFile(tmp_path / "none.txt", Clock())
        with pytest.raises(SuppressionUnavailable, match=r"none.txt cannot be read \(No such file or directory\)"):
            file.holds("ann@example.com")

    def test_one_that_is_mended_counts_at_once(self, tmp_path):
        path = tmp_path / "list.txt"
        file = SuppressionFile(path, Clock())
        with pytest.raises(SuppressionUnavailable):
            file.holds("ann@example.com")
        path.write_text("ann@example.com\n")
        assert file.holds("ann@example.com")

    def test_one_that_goes_missing_is_missed_for_a_few_seconds_only(self, tmp_path):
        path, clock = tmp_path / "list.txt", Clock()
        path.write_text("ann@example.com\n")
        file = SuppressionFile(path, clock)
        assert file.holds("ann@example.com")
        path.unlink()
        clock.now += 4
        assert file.holds("ann@example.com")
        clock.now += 4
        with pytest.raises(SuppressionUnavailable):
            file.holds("ann@example.com")
        path.write_text("bob@example.com\n")
        clock.now += 1
        assert file.holds("bob@example.com")
        clock.now += 1
        assert not file.holds("ann@example.com")

    def test_a_wrong_line_or_encoding_is_told(self, tmp_path):
        (tmp_path / "a.txt").write_text("ann@example.com\nwho?\n")
        (tmp_path / "b.txt").write_bytes("jörg@example.com".encode("latin-1"))
        with pytest.raises(SuppressionUnavailable, match=r"a\.txt, line 2, is neither"):
            SuppressionFile(tmp_path / "a.txt").holds("x@example.com")
        with pytest.raises(SuppressionUnavailable, match=r"b\.txt is no text in UTF-8"):
            SuppressionFile(tmp_path / "b.txt").holds("x@example.com")


class TestWhatCounts:
    def test_the_settings_list_and_the_bulks_own_both_count(self, tmp_path):
        (tmp_path / "all.txt").write_text("ann@example.com\n")
        with settings.override(MAILWORKER_SUPPRESSION=str(tmp_path / "all.txt")) as conf:
            found = Suppression.for_enqueue(conf, ["bob@example.com", "example.net"])
        assert [found.holds(a) for a in ("ann@example.com", "Bob@example.com", "x@example.net", "x@example.com")] == [
            *(True, True, True, False)
        ]

    def test_without_a_list_nobody_is_in_one(self):
        found = Suppression.for_enqueue(settings.current(), None)
        assert not found
        assert not found.holds("ann@example.com")

    @pytest.mark.parametrize("given", [f"{__name__}:no_more", no_more])
    def test_a_function_is_asked_for_each_address(self, given):
        sys.modules.setdefault(__name__, sys.modules[no_more.__module__])
        found = Suppression.for_enqueue(settings.current(), given)
        assert found.holds("Gone@example.com")
        assert not found.holds("ann@example.com")
        with settings.override(MAILWORKER_SUPPRESSION=given) as conf:
            assert Suppression.for_enqueue(conf, None).holds("gone@example.com")
            assert Suppression.for_worker(conf, "").holds("gone@example.com")

    def test_a_function_that_fails_is_told_without_its_words(self):
        with pytest.raises(SuppressionUnavailable) as error:
            Suppression.for_enqueue(settings.current(), broken).holds("ann@example.com")
        assert str(error.value) == "broken, which tells who wants no mail, raised RuntimeError"

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (
                "no_such_module:f",
                "suppress is 'no_such_module:f': there is no module 'no_such_module'; expected a function",
            ),
            ("os:is_suppressed", "suppress is 'os:is_suppressed': there is no 'is_suppressed' in os"),
            ("os:sep", "suppress is 'os:sep', which is no function"),
            (Path, "suppress is 'Path', which is no function"),
            (awaitable, "suppress is 'awaitable', which is no function"),
        ],
    )
    def test_what_is_no_function_is_one_clear_error(self, given, said):
        with pytest.raises(ConfigurationError) as error:
            Suppression.for_enqueue(settings.current(), given)
        assert said in str(error.value)

    def test_what_is_no_list_is_a_type_error(self):
        with pytest.raises(TypeError, match="suppress is int: expected a path"):
            Suppression.for_enqueue(settings.current(), 5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="suppress= has a value of type int"):
            Suppression.for_enqueue(settings.current(), ["ann@example.com", 5])  # type: ignore[list-item]

    def test_a_worker_asks_the_list_of_the_bulks_note_and_sees_it_change(self, tmp_path):
        path = tmp_path / "own.txt"
        path.write_text("ann@example.com\n")
        note = BulkNote(suppress=str(path)).encode()
        found = Suppression.for_worker(settings.current(), note)
        assert found.holds("ann@example.com")
        assert Suppression.for_worker(settings.current(), note).holds("ann@example.com")
        other = BulkNote(suppress=str(path), template="other").encode()
        assert Suppression.for_worker(settings.current(), other)._sources == found._sources

    @pytest.mark.parametrize("note", ["{", "[]", '{"suppress": "no_such_module:f"}'])
    def test_a_note_that_leads_nowhere_is_told_to_a_worker(self, note):
        with pytest.raises(SuppressionUnavailable):
            Suppression.for_worker(settings.current(), note)

    def test_the_name_of_a_list_is_what_another_process_finds_it_by(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert named(None) == ""
        assert named("list.txt") == named(Path("list.txt")) == str(tmp_path / "list.txt")
        assert named("shop.mail:no_more") == "shop.mail:no_more"
        assert named(os.path.exists) == "genericpath:exists"
        assert named(lambda address: True) == ""
        assert named(["ann@example.com"]) == ""


def test_a_note_reads_what_it_wrote_and_what_a_later_version_wrote():
    note = BulkNote(template="welcome", rows="/tmp/rows.csv", suppress="/tmp/list.txt")
    assert BulkNote.decode(note.encode()) == note
    assert BulkNote.decode("") == BulkNote()
    assert BulkNote.decode('{"template": "a", "moon": "full"}') == BulkNote(template="a")


def replace(path, text):
    """Write a file anew, so that it cannot be taken for the one before."""
    other = path.with_name("new")
    other.write_text(text)
    other.replace(path)
