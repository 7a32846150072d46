"""Rules for switches, numbers and durations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from mailworker.settings.rule import BadValue, Rule, split_list

_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "off", "f", "n"})


@dataclass(frozen=True)
class Flag(Rule):
    """True or false."""

    expected: ClassVar[str] = "true or false"
    example = "true"

    def parse(self, value: Any) -> bool:
        """Take a bool, 0 or 1, or a word for yes or no."""
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        if isinstance(value, str):
            word = value.strip().lower()
            if word in _TRUE:
                return True
            if word in _FALSE:
                return False
        raise BadValue

    def show(self, value: Any) -> str:
        """Return "true" or "false"."""
        return "true" if value else "false"


@dataclass(frozen=True)
class Whole(Rule):
    """A whole number within bounds; with `optional` also None."""

    low: int
    high: int
    example: str
    what: str = "a whole number"
    optional: bool = False

    def expects(self) -> str:
        """Return what is counted, and the bounds."""
        return f"{self.what} from {self.low} to {self.high}"

    def parse(self, value: Any) -> int | None:
        """Take an int or its digits; True is no number."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise BadValue
        try:
            number = int(value)
        except ValueError:
            raise BadValue from None
        if not self.low <= number <= self.high:
            raise BadValue
        return number


@dataclass(frozen=True)
class Fraction(Rule):
    """A number from 0 to 1."""

    expected: ClassVar[str] = "a number from 0 to 1"
    example: str

    def parse(self, value: Any) -> float:
        """Take a number or its digits."""
        number = _number(value)
        if not 0 <= number <= 1:
            raise BadValue
        return number

    def show(self, value: Any) -> str:
        """Return the number without zeros at its end."""
        return f"{value:g}"


@dataclass(frozen=True)
class Seconds(Rule):
    """A duration in seconds within bounds; from Python also a `timedelta`."""

    low: float
    high: float
    example: str

    def expects(self) -> str:
        """Return the bounds."""
        return f"a number of seconds from {plain(self.low)} to {plain(self.high)} (in Python also a timedelta)"

    def parse(self, value: Any) -> float:
        """Take a number or its digits, or a timedelta."""
        number = value.total_seconds() if isinstance(value, timedelta) else _number(value)
        if not self.low <= number <= self.high:
            raise BadValue
        return number

    def show(self, value: Any) -> str:
        """Return the number with its unit."""
        return f"{plain(value)} s"


@dataclass(frozen=True)
class Schedule(Rule):
    """A row of durations in seconds; the last one repeats."""

    low: float
    high: float
    example: str

    def expects(self) -> str:
        """Return the bounds of each, and how they are written."""
        return (
            f"one or more numbers of seconds from {plain(self.low)} to {plain(self.high)}, separated by commas "
            "(in Python also a list of numbers or timedeltas)"
        )

    def parse(self, value: Any) -> tuple[float, ...]:
        """Take one duration, or several with commas between them or in a list."""
        each = Seconds(self.low, self.high, self.example)
        single = isinstance(value, (int, float, timedelta)) and not isinstance(value, bool)
        steps = tuple(each.parse(part) for part in ([value] if single else split_list(value)))
        if not steps:
            raise BadValue
        return steps

    def show(self, value: Any) -> str:
        """Return the durations with commas between them, and their unit."""
        return f"{','.join(plain(step) for step in value)} s"


def plain(number: float) -> str:
    """Return a number without a needless ".0"."""
    return str(int(number)) if number == int(number) else str(number)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValue
    try:
        return float(value)  # nan and the infinities are within no bounds
    except (ValueError, OverflowError):
        raise BadValue from None
