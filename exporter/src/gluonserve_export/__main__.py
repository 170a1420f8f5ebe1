"""``python -m gluonserve_export``."""

import sys

from gluonserve_export.cli import main

if __name__ == "__main__":
    sys.exit(main())
