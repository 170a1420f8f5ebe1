"""What all printed pages have in common."""

from __future__ import annotations

import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTE = "<!-- Written by tools/make_docs.py; run `make docs` after a change. -->"


def paragraph(text: str) -> str:
    """Text as lines of 100 columns."""
    return textwrap.fill(" ".join(text.split()), width=100)


def cell(text: str) -> str:
    """Text as one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
