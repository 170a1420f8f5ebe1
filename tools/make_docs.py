"""Prints the reference pages of docs/ from what the server itself is made of, or checks them.

Run by ``make docs`` and, with ``--check``, by ``make check``.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pages.configuration import configuration_page
from pages.markdown import ROOT
from pages.metrics import metrics_page
from pages.networks import networks_page
from pages.operators import operators_page, readme_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def main() -> int:
    """Write the pages, or with ``--check`` say which of them are not current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check = parser.parse_args().check
    pages = {ROOT / name: page() for name, page in PAGES.items()}
    stale = [path for path, text in pages.items() if not _is_current(path, text)]
    for path in stale:
        if check:
            print(f"not current: {path.relative_to(ROOT)} (run: make docs)", file=sys.stderr)
        else:
            path.write_text(pages[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/operators.md": operators_page,
    "docs/networks.md": networks_page,
    "docs/metrics.md": metrics_page,
    "docs/configuration.md": configuration_page,
    "README.md": readme_page,
}

if __name__ == "__main__":
    sys.exit(main())
