"""How many mutants of each file the tests noticed, from what mutmut left in mutants/."""

from __future__ import annotations

import json
from pathlib import Path

NOTICED = {1, 3, 24, 36, 152, 255, -24}
"""Exit codes of a failed test and of a test that ran out of time."""


def main() -> None:
    """Print one row per file, and the sum of those tried."""
    print("| file | mutants | tried | noticed | score |\n|---|---|---|---|---|")
    rows = [row(path) for path in sorted(Path("mutants").rglob("*.py.meta"))]
    for name, *counts in [*rows, ("all", *map(sum, zip(*(counts for _, *counts in rows), strict=True)))]:
        mutants, tried, noticed = counts
        if mutants:
            score = f"{100.0 * noticed / tried:.1f} %" if tried else "-"
            print(f"| `{name}` | {mutants} | {tried} | {noticed} | {score} |")


def row(path: Path) -> tuple[str, int, int, int]:
    """Return the file's name, its mutants, those tried and those noticed."""
    codes = json.loads(path.read_text())["exit_code_by_key"].values()
    tried = [code for code in codes if code is not None]
    return path.name.removesuffix(".py.meta"), len(codes), len(tried), sum(code in NOTICED for code in tried)


if __name__ == "__main__":
    main()
