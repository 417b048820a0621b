"""The drawings, one for each kind of evidence, to be read in grey and by eyes that see few colours: before is grey and
filled, now is dark and hatched or a line; what is decided against is dashed; intervals are bars with caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BEFORE, NOW, ALARM = "#1b1f24", "#b8bec6", "#0072b2", "#d55e00"  # the last two: Okabe and Ito's blue, vermilion
EDGE = "#6b7480"


def quality(figure: Figure, found: Sequence[Mapping[str, Any]]) -> None:
    """Each break: how the broken values are distributed, and the share of broken rows over time."""
    axes = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), item in zip(axes, found, strict=True):
        distributions(left, item, now="broken rows")
        right.plot(item["times"], item["share"], color=NOW, marker="o", markersize=3, linewidth=1.4)
        right.fill_between(item["times"], item["share"], color=NOW, alpha=0.15, linewidth=0)
        right.set_ylim(-0.02, 1.05)
        right.set_ylabel("share of rows broken")
        onset(right, item["onset"])
        over_time(right)


def drift(figure: Figure, found: Sequence[Mapping[str, Any]]) -> None:
    """Each moved input: its distribution before and now."""
    columns = min(2, len(found))
    grid = figure.subplots(-(-len(found) // columns), columns, squeeze=False).ravel()
    for axes, item in zip(grid, found, strict=False):
        distributions(axes, item, now="now")
        axes.set_title(f"distance {item['effect']:.2f}", fontsize=8, color=EDGE, loc="right")
    for axes in grid[len(found) :]:
        axes.set_axis_off()


def distributions(axes: Axes, item: Mapping[str, Any], *, now: str) -> None:
    """Healthy rows filled grey; the others as a dark line, or hatched bars for categories."""
    if "levels" in item:
        place = range(len(item["levels"]))
        axes.barh([p - 0.2 for p in place], item["before"], 0.38, color=BEFORE, label="healthy")
        axes.barh([p + 0.2 for p in place], item["now"], 0.38, color="white", edgecolor=NOW, hatch="////", label=now)
        axes.set_yticks(list(place), item["levels"], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f"share of rows, by {item['feature']}")
    elif item["edges"]:
        axes.stairs(item["before"], item["edges"], fill=True, color=BEFORE, label="healthy")
        axes.stairs(item["now"], item["edges"], color=NOW, linewidth=1.8, label=now)
        if item.get("log"):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        unit = f" [{item['unit']}]" if item["unit"] else ""
        axes.set_xlabel(f"{item['feature']}{unit}")
        axes.set_ylabel("share of rows")
    axes.legend(frameon=False, fontsize=8)


def loss(figure: Figure, found: Mapping[str, Any]) -> None:
    """The mean loss over time with its interval, what it was, what is tolerated, and since when."""
    axes = figure.subplots()
    axes.fill_between(found["times"], found["low"], found["high"], color=NOW, alpha=0.2, linewidth=0, label="95 %")
    axes.plot(found["times"], found["mean"], color=NOW, marker="o", markersize=3, linewidth=1.5, label="mean loss")
    axes.axhline(found["baseline"], color=EDGE, linewidth=1.2, label="healthy rows")
    bound = found["baseline"] + found["tolerance"]
    axes.axhline(bound, color=INK, linewidth=1, linestyle="--", label="tolerated")
    onset(axes, found["onset"])
    axes.set_ylabel("mean loss")
    over_time(axes)
    axes.legend(frameon=False, fontsize=8, ncols=2)


def calibration(figure: Figure, found: Mapping[str, Any]) -> None:
    """How often it happened against how likely it was said to be, in tenths of the rows."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=EDGE, linewidth=1, linestyle=":", label="as said")
    looks = {"before": (EDGE, "s", "--", "healthy"), "now": (NOW, "o", "-", "now")}
    for when, (colour, marker, line, label) in looks.items():
        part = found[when]
        axes.errorbar(
            part["said"], part["was"], part["error"], color=colour, marker=marker, markersize=4, linestyle=line,
            linewidth=1.4, capsize=2, label=label,
        )  # fmt: skip
    axes.set_xlabel("probability that was said")
    axes.set_ylabel("share that happened")
    axes.set_aspect("equal", adjustable="box")
    axes.legend(frameon=False, fontsize=8)


def estimate(figure: Figure, found: Mapping[str, Any]) -> None:
    """The estimated rise with its band, against none and against what is tolerated."""
    axes = figure.subplots()
    with_interval(axes, 0, found["rise"], found["low"], found["high"], NOW)
    axes.axvline(0, color=EDGE, linewidth=1.2, label="as in the reference")
    axes.axvline(found["tolerance"], color=INK, linewidth=1, linestyle="--", label="tolerated")
    axes.set_yticks([0], [f"estimated from\n{found['n']:,} rows without labels"])
    axes.set_ylim(-0.8, 0.8)
    axes.set_xlabel("rise of the mean loss" + (" [unit of the target]" if found["unit"] == "target" else ""))
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def attribution(figure: Figure, found: Mapping[str, Any]) -> None:
    """The rise in its three parts; beside it, which inputs the mix comes from."""
    shares = found["shares"]
    grid = figure.subplots(1, 2 if shares else 1, squeeze=False)[0]
    parts = list(found["parts"].items())
    for place, (name, value) in enumerate(parts):
        grid[0].barh(
            place, value, 0.55, color=NOW if name == "changed relation" else BEFORE, edgecolor=INK, linewidth=0.6
        )
    spread = 1.96 * found["relation_se"]
    grid[0].errorbar(found["parts"]["changed relation"], 0, xerr=spread, color=INK, capsize=3, linewidth=1.2)
    finish_bars(grid[0], [name for name, _ in parts], "part of the rise of the mean loss")
    if shares:
        for place, share in enumerate(shares):
            low, high = share["interval"]
            with_interval(grid[1], place, share["value"], low, high, INK)
        names = [", ".join(s["features"][:3]) + (" …" if len(s["features"]) > 3 else "") for s in shares]
        finish_bars(grid[1], names, "of the mix, by inputs (90 %)")


def slices(figure: Figure, found: Sequence[Mapping[str, Any]]) -> None:
    """The rise inside each slice, and outside it."""
    axes = figure.subplots()
    for place, item in enumerate(found):
        axes.barh(
            place, item["harm"], 0.5, color="white", edgecolor=NOW, hatch="////", label="inside" if place == 0 else None
        )
        axes.plot(item["outside"], place, marker="D", color=INK, linestyle="", label="outside" if place == 0 else None)
    names = [f"{s['text']}\n{s['share']:.0%} of rows, {s['carries']:.0%} of the harm" for s in found]
    finish_bars(axes, names, "rise of the mean loss")
    axes.legend(frameon=False, fontsize=8)


def trial(figure: Figure, found: Sequence[Mapping[str, Any]], chosen: str) -> None:
    """What each action would have gained a row, the proposed one filled."""
    axes = figure.subplots()
    ordered = sorted(found, key=lambda t: -float(t["gain"]))
    for place, item in enumerate(ordered):
        mine = item["action"] == chosen
        axes.barh(
            place, item["gain"], 0.5, color=NOW if mine else "white", edgecolor=NOW, hatch=None if mine else "////"
        )
        axes.errorbar(
            item["gain"], place, xerr=[[item["gain"] - item["low"]], [item["high"] - item["gain"]]], color=INK,
            capsize=3, linewidth=1.2,
        )  # fmt: skip
    names = [
        f"{t['action'].replace('_', ' ')}{' (proposed)' if t['action'] == chosen else ''}\n{t['n']:,} rows"
        for t in ordered
    ]
    finish_bars(axes, names, "fall of the mean loss, per row (95 %)")


def bars(figure: Figure, found: Sequence[Mapping[str, Any]], unit: str) -> None:
    """Plain facts: a number each, with its interval where it has one."""
    axes = figure.subplots()
    for place, fact in enumerate(found):
        axes.barh(place, fact["value"], 0.5, color=BEFORE, edgecolor=INK, linewidth=0.6)
        if fact["interval"] is not None:
            axes.plot(fact["interval"], [place, place], color=INK, linewidth=1.5, marker="|", markersize=8)
    finish_bars(axes, [fact["name"] for fact in found], unit)


def with_interval(axes: Axes, place: int, value: float, low: float, high: float, colour: str) -> None:
    axes.plot([low, high], [place, place], color=colour, linewidth=2, marker="|", markersize=9)
    axes.plot(value, place, color=colour, marker="o", markersize=6, linestyle="")


def finish_bars(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.axvline(0, color=EDGE, linewidth=0.9)
    axes.set_yticks(range(len(names)), list(names), fontsize=8)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.invert_yaxis()
    axes.set_xlabel(label)


def onset(axes: Axes, moment: Any) -> None:
    if moment is not None:
        axes.axvline(moment, color=ALARM, linewidth=1.4, linestyle="-.")
        axes.annotate(
            f"since {moment:%d %b %H:%M}", (moment, 0.0), xycoords=("data", "axes fraction"), xytext=(4, 5),
            textcoords="offset points", fontsize=8, color=ALARM,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip


def over_time(axes: Axes) -> None:
    """Few and short dates, in UTC."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateConverter

    if isinstance(axes.xaxis.get_converter(), DateConverter) or "Date" in type(axes.xaxis.get_major_locator()).__name__:
        locator = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    else:
        axes.set_xlabel("rows in the order given")
