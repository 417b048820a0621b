"""The table that people read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


def having(**wanted: object) -> Callable[[dict[str, Any]], bool]:
    """Rows with these values."""
    return lambda row: all(row[name] == value for name, value in wanted.items())


def share(rows: Iterable[dict[str, Any]], key: str) -> str:
    values = [r[key] for r in rows if r[key] is not None]
    return f"{np.mean(values):6.1%}" if values else "     -"


def calibration_error(rows: Rows, bins: int = 10) -> float:
    """Expected calibration error of the confidence that the (intended) action is right; ten bins of equal width."""
    confidence = np.array([r["confidence"] for r in rows], dtype=float)
    right = np.array([r["intended_right"] for r in rows], dtype=float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(confidence[place == b].mean() - right[place == b].mean()) * (place == b).mean()
            for b in range(bins)
            if (place == b).any()
        )
    )


def render(rows: dict[str, Rows], seconds: float) -> str:
    mine = rows["watchkeeper"]
    lines = [f"{len(mine)} incidents, {seconds:.0f} s", ""]
    lines.append(
        f"{'arm':28s}{'n':>6s}{'right':>8s}{'harmful':>9s}{'false on quiet':>16s}{'regret':>9s}{'do nothing':>12s}"
    )
    for name, part in rows.items():
        part = [r for r in part if not r["not_run"]]
        if part:
            quiet = [r for r in part if r["quiet"]]
            lines.append(
                f"{name:28s}{len(part):6d}{share(part, 'right'):>8s}{share(part, 'harmful'):>9s}"
                f"{share(quiet, 'false'):>16s}"
                f"{np.mean([r['regret'] for r in part]):9.3f}{np.mean([r['nothing'] for r in part]):12.3f}"
            )
    lines += ["", "regret: loss on later rows above the best action's, in standard deviations of the healthy loss", ""]
    lines.append(
        f"{'watchkeeper':28s}{'n':>6s}{'right':>8s}{'or abst.':>9s}{'cause':>8s}{'features':>9s}{'harmful':>9s}"
        f"{'onset':>8s}"
    )

    def line(name: str, keep: Callable[[dict[str, Any]], bool]) -> None:
        part = [r for r in mine if keep(r)]
        if part:
            safe = np.mean([r["right"] or r["abstained"] for r in part])
            onset = [r["onset"] for r in part if r["onset"] is not None]
            middle = f"{np.median(onset):7.1%}" if onset else "      -"
            lines.append(
                f"{name:28s}{len(part):6d}{share(part, 'right'):>8s}{safe:9.1%}{share(part, 'cause_right'):>8s}"
                f"{share(part, 'features'):>9s}{share(part, 'harmful'):>9s}{middle:>8s}"
            )

    for strength in ("full", "half", "quarter"):
        for size in sorted({r["size"] for r in mine}, reverse=True):
            line(f"{strength}, {size} labels", having(strength=strength, size=size))
    line("faults above the tolerance", lambda r: not r["quiet"] and not r["small"])
    line("faults below the tolerance", lambda r: not r["quiet"] and r["small"])
    line("quiet streams", lambda r: r["quiet"])
    line("real data, full and half", lambda r: r["real"] and r["strength"] != "quarter")
    line("synthetic, full and half", lambda r: not r["real"] and r["strength"] != "quarter")
    lines.append("")
    for category in dict.fromkeys(r["category"] for r in mine):
        line(category, having(category=category))
    lines.append("")
    for world in dict.fromkeys(r["world"] for r in mine):
        line(world, having(world=world))
    times = [r["seconds"] for r in mine]
    lines += [
        "",
        f"confidence error (ECE) {calibration_error(mine):.3f}; "
        f"seconds a diagnosis: median {np.median(times):.2f}, largest {max(times):.2f}",
    ]
    return "\n".join(lines)
