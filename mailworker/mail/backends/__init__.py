"""The backends: one module for each, each with a class `EmailBackend` (`BaseEmailBackend` in `base`)."""
