"""The command line of the test project."""

import os
import sys
import warnings

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    # Whatever Django has deprecated, mailworker must not use.
    warnings.filterwarnings("error", module=r"mailworker(\.|$)")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
