"""Write the table of docs/results/note.md, published beside simulated, from a stored run.

Run: gateway run configs/note.toml --out DIR && python experiments/note_table.py DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gateway.results import open_result

PAGE = Path("docs/results/note.md")
BEGIN, END = "<!-- the table: begin -->", "<!-- the table: end -->"
HEAD = (
    "| id | quantity | published | simulated | 95 % | tolerance | within |\n"
    "|---|---|---|---|---|---|---|"
)


def number(value: float | None) -> str:
    """Counts in full, shares with three decimals, small ones with two digits."""
    if value is None:
        return ""
    if value == int(value) and abs(value) > 1:
        return f"{int(value):,}"
    text = f"{value:.3f}"
    if 0 < abs(value) < 0.0095:
        text = f"{value:.5f}" if abs(value) < 0.00095 else f"{value:.4f}"
    return text.replace("-", "−")


def shown(row: dict[str, Any]) -> bool:
    """Whether a row is in the page: not where it says the same again in another measure."""
    name = row["quantity"]
    again = name.endswith("spearman") and not name.startswith("gateway_score")
    return not again and not name.endswith("share of named requests")


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    spans = [row["ci_low"], row["ci_high"]]
    counted = row["id"] == "R8" and "share" not in row["quantity"]
    if None in spans:
        interval = ""
    elif counted:
        interval = " to ".join(f"{value:.0f}" for value in spans)
    else:
        interval = " to ".join(number(value) for value in spans)
    simulated = row["simulated"]
    said = f"{simulated:.0f}" if counted and simulated is not None else number(simulated)
    tolerance = "" if row["tolerance"] is None else f"{row['tolerance']:g}"
    within = {None: "", True: "yes", False: "**no**"}[row["within"]]
    cells = (
        row["id"], row["quantity"], number(row["published"]), said, interval, tolerance, within,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Replace what stands between the two marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    options = parser.parse_args()
    rows = open_result(options.result).table("analyses/comparison").to_pylist()
    rows = [row for row in rows if shown(row)]
    table = "\n".join([HEAD, *(line(row) for row in rows)])
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    judged = [row["within"] for row in rows if row["within"] is not None]
    print(f"{sum(judged)} of {len(judged)} judged rows are within their tolerance")


if __name__ == "__main__":
    main()
