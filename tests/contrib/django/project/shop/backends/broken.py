"""A backend whose module fails."""

1 / 0  # noqa: B018 - that is it
