"""The recorded cases that do not agree, each with its reason: ``tests/data/deviations.toml``.

The file is exact: a case that is missing from it, and a listed one that agrees, are both errors.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.conforming import Result

FILE = Path(__file__).parent / "data" / "deviations.toml"
HEAD = """\
# Recorded cases (../shared/conformance) that do not agree with MXNet, by operator and reason.
# `make conformance ARGS=--accept` writes the list; reasons written by hand under [why] stay.
# outcome: refused (the importer says why), differs, fails (the engine raises), crashes (it dies).
"""


def listed(path: Path = FILE) -> dict[tuple[str, str], str]:
    """The outcome of each listed case, by case and choice of executor."""
    found: dict[tuple[str, str], str] = {}
    for entry in _read(path).get("deviation", []):
        for number in entry["cases"]:
            for mode in entry["executors"]:
                found[f"{entry['operator']}-{number}", mode] = entry["outcome"]
    return found


def problems(results: Iterable[Result], path: Path = FILE) -> list[str]:
    """What the list does not say, and what it says that is not so."""
    known = listed(path)
    found = []
    seen = set()
    for one in results:
        key = (one.case, one.mode)
        seen.add(key)
        outcome = "" if one.outcome == "agree" else one.outcome
        if known.get(key, "") != outcome:
            is_so = outcome or "agrees"
            found.append(
                f"{one.case} on {one.mode}: {is_so}, listed as {known.get(key, 'agreeing')}"
                + (f" ({one.detail[:160]})" if one.detail else "")
            )
    found += [
        f"{case} on {mode}: listed, and there is no such case"
        for case, mode in sorted(known.keys() - seen)
    ]
    return found


def write(results: Sequence[Result], path: Path = FILE) -> None:
    """Write the list anew; a reason under ``[why]`` for an operator replaces what was measured."""
    why: Mapping[str, str] = _read(path).get("why", {})
    groups: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for one in results:
        if one.outcome == "agree":
            continue
        operator, _, number = one.case.rpartition("-")
        reason = why.get(f"{operator}: {one.outcome}") or why.get(operator) or _reason(one)
        group = groups.setdefault((operator, one.outcome, reason), {})
        group.setdefault(number, []).append(one.mode)
    lines = [HEAD]
    if why:
        lines += ["[why]", *(f"{json.dumps(key)} = {json.dumps(why[key])}" for key in sorted(why))]
        lines.append("")
    for (operator, outcome, reason), members in sorted(groups.items()):
        by_modes: dict[tuple[str, ...], list[int]] = {}
        for number, modes in members.items():
            by_modes.setdefault(tuple(sorted(modes)), []).append(int(number))
        for modes, numbers in sorted(by_modes.items()):
            lines += [
                "[[deviation]]",
                f"operator = {json.dumps(operator)}",
                f"outcome = {json.dumps(outcome)}",
                f"executors = {json.dumps(list(modes))}",
                f"cases = {json.dumps(sorted(numbers))}",
                f"reason = {json.dumps(reason, ensure_ascii=False)}",
                "",
            ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _reason(one: Result) -> str:
    """What was measured, without what is only this case's: names, numbers and advice."""
    text = one.detail.partition("; MXNet itself can run")[0]
    if one.outcome == "differ":
        return re.sub(r"\(at .*", "", re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "x", text)).strip()
    return re.sub(r"\(\d+ nodes?\)", "", text)[:240].strip()
