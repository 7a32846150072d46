"""How far ahead a task's ETA may reach."""

from __future__ import annotations

#: Seconds. On Redis a task whose ETA lies beyond the visibility timeout (1 h) runs several times, and RabbitMQ ends a
#: consumer that has not acked for 30 min; both clocks run while a worker holds the task. A mail that is due later makes
#: several hops.
MAX_HOP = 600.0
