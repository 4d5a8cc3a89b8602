"""The page of all datasets: one HTML file that needs nothing else, no script and no network.

Here: drawing it from what `coverage` has read. Not here: reading, and where the file comes to lie (`coverage_asset`,
`cli.coverage`).

Judgements: no state is told by colour alone: each cell has a title, and each row of cells its sum in words, which is
what a screen reader reads instead of the cells. A year is a block of weeks, a column a week, as calendars of activity
are drawn elsewhere. The colours of states are apart from each other for the usual kinds of colour blindness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from html import escape
from itertools import groupby

from data_assets.orchestration.coverage import (
    ABOUT_THE_DOWNLOAD,
    CHANGES,
    SCORE,
    SERIES_DAYS,
    Change,
    Coverage,
    newest_changes,
    week_of_year,
)
from data_assets.orchestration.day_states import DONE, DayState
from data_assets.quality.differences import Differences
from data_assets.trading_calendar import NEW_YORK

SCORED_DAYS = 10
WEEKDAYS = 5
MONTHS = "JFMAMJJASOND"
BAR_WIDTH, BAR_HEIGHT, DOT_HEIGHT = 3, 40, 3
"""Of a chart, in the units of its drawing."""

CLASSES = {
    DayState.STORED: "s",
    DayState.LACKING: "l",
    DayState.STALE: "l",
    DayState.HOLE: "h",
    DayState.FAILED: "f",
    DayState.IN_PROGRESS: "p",
    DayState.MISSING: "m",
}
CHECK_FAILED = "w"
LEGEND = {
    "s": "stored",
    CHECK_FAILED: "stored, a check failed or warns",
    "l": "lacking or stale",
    "h": "accepted as a hole",
    "p": "in progress",
    "f": "failed",
    "m": "missing",
}

STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1c2024;--soft:#60646c;--line:#d9dce1;--s:#2a8c5f;--w:#e8a317;
--l:#b9cf4f;--h:#9b6fd0;--p:#3d8bfd;--f:#c9302c;--m:#e4e7eb;--c:9px}
@media(prefers-color-scheme:dark){:root{--back:#16181c;--text:#e6e8eb;--soft:#9ba1a9;--line:#343942;--s:#3fae7c;
--w:#f0b93a;--l:#c9dd6a;--h:#b394e6;--p:#64a5ff;--f:#f0605c;--m:#2b3038}}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;background:var(--back);color:var(--text);margin:0 auto;max-width:75rem;
padding:1.2rem}
h1{margin:0;font-size:1.6rem}h2{margin:2.2rem 0 .4rem;font-size:1.15rem;overflow-wrap:anywhere}
h3{margin:1.1rem 0 .3rem;font-size:.95rem}
p{margin:.3rem 0}a{color:inherit;text-decoration-color:var(--soft);text-underline-offset:.2em}
.soft,caption,figcaption{color:var(--soft);font-size:.87rem}caption{text-align:left}
section{border-top:1px solid var(--line);margin-top:2rem}section h2{margin-top:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.22rem 1rem .22rem 0;text-align:left;font-weight:400;white-space:nowrap;vertical-align:baseline}
thead th{color:var(--soft);font-size:.87rem;border-bottom:1px solid var(--line)}
tbody th{position:sticky;left:0;background:var(--back)}.all>*{border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right}.bad{color:var(--f)}td.why{white-space:normal;min-width:16rem}
.years{display:grid;grid-template-columns:repeat(auto-fill,calc(54*(var(--c) + 1px)));gap:.7rem 2rem}figure{margin:0}
ol,.months{display:grid;grid-auto-columns:var(--c);gap:1px;list-style:none;margin:0;padding:0}
.months{font:10px/1.3 system-ui,sans-serif;color:var(--soft)}.months i{font-style:normal;grid-row:1;width:0}
ol{grid-auto-flow:column}ol.d{grid-template-rows:repeat(5,var(--c))}ol.d li{height:var(--c)}
ol.y{grid-auto-columns:calc(4*var(--c));grid-template-rows:calc(1.6*var(--c))}
li{border-radius:2px}.dot{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.35em}
.s{background:var(--s)}.w{background:var(--w)}.l{background:var(--l)}.h{background:var(--h)}.p{background:var(--p)}
.f{background:var(--f)}.m{background:var(--m)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.8rem 0}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem 2rem}
svg{display:block;width:100%;height:3.4rem}rect{fill:var(--p)}rect:hover,li:hover{opacity:.6}
wbr{display:none}.badge{background:var(--w);color:#1c2024;border-radius:4px;padding:.1rem .5rem;font-weight:600}
@media(max-width:640px){:root{--c:5px}body{padding:.8rem;font-size:14px}li{border-radius:1px}
th,td{padding-right:.55rem}
tbody th,td.name{white-space:normal;min-width:6.5rem;max-width:8.2rem;overflow-wrap:break-word}
.wide{display:none}wbr{display:inline}td.why{min-width:9rem}.months{font-size:8px}}
"""


def coverage_page(found: Sequence[Coverage], *, lake: str, synthetic: bool, now: datetime) -> str:
    """Draw the page.

    Args:
        found: the datasets, in the order of the page.
        lake: where their files are.
        synthetic: whether the data is invented, which the page says.
        now: when that was read, with a time zone.
    """
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Coverage</title><style>{STYLE.strip()}</style></head><body>",
            *_head(found, lake, synthetic, now),
            *_score_card(found),
            *_comparisons(found),
            *_changes(newest_changes(found)),
            *(line for place, each in enumerate(found) for line in _dataset(each, place)),
            "</body></html>",
            "",
        ]
    )


def _head(found: Sequence[Coverage], lake: str, synthetic: bool, now: datetime) -> Iterator[str]:
    yield '<header><h1>Coverage</h1><p class="soft">'
    yield f"as of {now.astimezone(NEW_YORK):%Y-%m-%d %H:%M} New York · files in {escape(lake)}</p>"
    if synthetic:
        yield '<p><span class="badge">synthetic data of the sandbox</span></p>'
    yield "</header>"
    yield '<div class="scroll"><table><caption>All datasets</caption><thead><tr>'
    for name in ("dataset", "done", "stored", "failed", "missing", "newest"):
        kind = {"dataset": "", "newest": "", "stored": ' class="n wide"'}.get(name, " class=n")
        yield f'<th scope="col"{kind}>{name}'
    yield "<tbody>"
    for place, each in enumerate(found):
        stored = [day for day, state in each.states.items() if state in DONE]
        share = 100 * len(stored) // len(each.states) if each.states else 100
        failed, missing = each.count(DayState.FAILED), each.count(DayState.MISSING)
        yield f'<tr><th scope="row">{_link(each, place)}'
        yield f'<td class="n">{share}%<td class="n wide">{len(stored):,} of {len(each.states):,}'
        yield f'<td class="n{" bad" if failed else ""}">{failed:,}<td class="n">{missing:,}'
        yield f"<td>{each.dataset.label(stored[-1]) if stored else 'none yet'}"
    yield "</table></div>"
    yield '<p class="legend">'
    yield from (f'<span><span class="dot {sign}"></span>{text}</span>' for sign, text in LEGEND.items())
    yield "</p>"


def _link(each: Coverage, place: int) -> str:
    return f'<a href="#d{place}">{_breakable(each.dataset.name)}</a>'


def _breakable(name: str) -> str:
    """A dataset's name, which a narrow window breaks between its words."""
    return escape(name).replace("/", "/<wbr>").replace("_", "_<wbr>")


def _score_card(found: Sequence[Coverage]) -> Iterator[str]:
    """The newest days of all daily datasets: a column a day, as there may be hundreds of datasets."""
    daily = [(place, each) for place, each in enumerate(found) if not each.dataset.monthly]
    newest = sorted({day for _, each in daily for day in each.states}, reverse=True)[:SCORED_DAYS]
    if not newest:
        return
    yield "<section><h2>The newest days</h2>"
    yield '<div class="scroll"><table><caption>Checks passed of those evaluated, or why there are none'
    yield '</caption><thead><tr><th scope="col">dataset'
    yield from (f'<th scope="col" title="{day}">{day[5:]}' for day in newest)
    yield '<tbody><tr class="all"><th scope="row">all: days stored'
    for day in newest:
        states = [each.states[day] for _, each in daily if day in each.states]
        yield f"<td>{sum(state in DONE for state in states):,} of {len(states):,}"
    for place, each in daily:
        yield f'<tr><th scope="row">{_link(each, place)}'
        for day in newest:
            judged = each.verdicts.get(day, {})
            yield _cell(each, day, f"{sum(judged.values())} of {len(judged)}" if judged else None)
    yield "</table></div></section>"


def _cell(each: Coverage, day: str, said: str | None) -> str:
    """A day of a dataset in a table: what is said of it, or its state; empty outside of the dataset's days."""
    if (state := each.states.get(day)) is None:
        return "<td>"
    sign, title = _sign(each, day)
    return f'<td title="{title}"><span class="dot {sign}"></span>{state if said is None else said}'


def _comparisons(found: Sequence[Coverage]) -> Iterator[str]:
    """The scores of vendors that are held against each other, and why they differ."""
    compared = [(place, each) for place, each in enumerate(found) if each.dataset.differences]
    newest = sorted({day for _, each in compared for day in each.states}, reverse=True)[:SCORED_DAYS]
    if not newest:
        return
    yield "<section><h2>Vendors held against each other</h2>"
    yield '<div class="scroll"><table><caption>Score of each day: of a hundred, how much is the same, or differs for a '
    yield 'known reason</caption><thead><tr><th scope="col">dataset<th scope="col">lowest'
    yield from (f'<th scope="col" title="{day}">{day[5:]}' for day in newest)
    yield "<tbody>"
    for place, each in compared:
        scores = {day: numbers[SCORE] for day, numbers in each.numbers.items() if SCORE in numbers}
        lowest = min(scores, key=lambda day: (scores[day], day), default=None)
        yield f'<tr><th scope="row">{_link(each, place)}<td>'
        yield f"{_number(scores[lowest])} <span class=soft>on {lowest}</span>" if lowest else "none yet"
        yield from (_cell(each, day, _number(scores[day]) if day in scores else None) for day in newest)
    yield "</table></div>"
    for differences in dict.fromkeys(each.dataset.differences for _, each in compared):
        if differences is not None:
            yield from _reasons(differences, [one for one in compared if one[1].dataset.differences == differences])
    yield "</section>"


def _reasons(differences: Differences, compared: Sequence[tuple[int, Coverage]]) -> Iterator[str]:
    """How often each reason was met in the newest days of some datasets, and what it means."""
    sums = {
        place: {
            name: sum(numbers[name] for numbers in each.numbers.values() if name in numbers)
            for name in (differences.total, *(name for name, _ in differences.reasons))
        }
        for place, each in compared
    }
    if not any(total[differences.total] for total in sums.values()):
        return
    yield f'<h3>Why {differences.total} differ</h3><div class="scroll"><table><caption>Of the newest {SERIES_DAYS} days'
    yield f'</caption><thead><tr><th scope="col">dataset<th scope="col" class="n">{differences.total}'
    yield from (f'<th scope="col" class="n">{escape(name)}' for _, name in differences.reasons)
    yield "<tbody>"
    for place, each in compared:
        if not (total := sums[place][differences.total]):
            continue
        yield f'<tr><th scope="row">{_link(each, place)}<td class="n">{total:,.0f}'
        yield from (f'<td class="n">{sums[place][name]:,.0f}' for name, _ in differences.reasons)
    yield f'</table></div><p class="soft">{escape(differences.meaning)}</p>'


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    yield "<section><h2>What changed lately</h2>"
    if not changes:
        yield "<p>Nothing has been recorded yet.</p></section>"
        return
    yield '<div class="scroll"><table><caption>Newest first, New York time</caption><thead><tr>'
    for name in ("when", "dataset", "day", "what"):
        yield f'<th scope="col">{name}'
    yield "<tbody>"
    for alike in _together(changes)[:CHANGES]:
        first, last = min(each.day for each in alike), max(each.day for each in alike)
        days = first if first == last else f"{first} to {last} ({_count(alike)})"
        newest = alike[0]
        what = newest.what if first == last or newest.is_bad else "stored"
        yield f"<tr><td>{newest.at.astimezone(NEW_YORK):%Y-%m-%d %H:%M}"
        yield f'<td class="name">{_breakable(newest.dataset)}<td class="name">{days}'
        yield f'<td class="why{" bad" if newest.is_bad else ""}">{escape(what)}'
    yield "</table></div></section>"


def _count(alike: Sequence[Change]) -> str:
    """How many days; of a dataset no more than so many of its newest records have been read."""
    return f"{len({each.day for each in alike})}" + (" and more" if len(alike) >= CHANGES else "")


def _together(changes: Sequence[Change]) -> list[list[Change]]:
    """Changes of a dataset that say the same of several days and were recorded on one date; in order of the newest.

    Days that were stored are alike, however many rows each has.
    """
    found: dict[tuple[str, str, date], list[Change]] = {}
    for each in changes:
        what = "stored" if each.what.startswith("stored,") else each.what
        found.setdefault((each.dataset, what, each.at.astimezone(NEW_YORK).date()), []).append(each)
    return list(found.values())


def _dataset(each: Coverage, place: int) -> Iterator[str]:
    yield f'<section aria-labelledby="d{place}"><h2 id="d{place}">{escape(each.dataset.name)}</h2>'
    years = {year: list(days) for year, days in groupby(each.states, lambda day: int(day[:4]))}
    empty = [year for year, days in years.items() if all(each.states[day] is DayState.MISSING for day in days)]
    yield '<div class="years">'
    for year in sorted(years.keys() - set(empty), reverse=True):
        yield from _year(each, year, years[year])
    yield "</div>"
    if empty:
        days = sum(len(years[year]) for year in empty)
        yield f'<p class="soft">Nothing is stored of {_ranges(empty)}: {days:,} {each.dataset.unit}s.</p>'
    if each.numbers:
        first, last = min(each.numbers), max(each.numbers)
        said = each.dataset.label(first) + (f" to {each.dataset.label(last)}" if last != first else "")
        yield f"<h3>The newest {min(len(each.numbers), SERIES_DAYS)} stored {each.dataset.day}s"
        yield f' <span class="soft">{said}</span></h3>'
        yield from _charts(each)
    yield from _checks(each)
    yield "</section>"


def _ranges(years: Sequence[int]) -> str:
    """Years in words, oldest first: `2016 to 2019, 2021`."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _year(each: Coverage, year: int, days: Sequence[str]) -> Iterator[str]:
    done = sum(each.states[day] in DONE for day in days)
    failed = sum(each.states[day] is DayState.FAILED for day in days)
    said = f"{year}: {done:,} of {len(days):,} done" + (f", {failed} failed" if failed else "")
    yield f"<figure><figcaption>{said}</figcaption>"
    if each.dataset.monthly:
        before, width, kind = date.fromisoformat(days[0]).month - 1, "4*var(--c) + 1px", "y"
    else:
        before, width, kind = week_of_year(date.fromisoformat(days[0])), "var(--c) + 1px", "d"
        yield '<div class="months" aria-hidden="true">'
        for month, initial in enumerate(MONTHS, 1):
            yield f"<i style=grid-column:{week_of_year(date(year, month, 1)) + 1}>{initial}</i>"
        yield "</div>"
    place = f' style="margin-left:calc({before}*({width}))"' if before else ""
    yield f'<ol class="{kind}" aria-hidden="true"{place}>'
    yield "".join(_cells(each, days))
    yield "</ol></figure>"


def _cells(each: Coverage, days: Sequence[str]) -> Iterator[str]:
    """A cell a day, and an empty one for each closed weekday in between; those of a month are twelve in a row."""
    before: date | None = None
    for key in days:
        day, at = date.fromisoformat(key), ""
        if not each.dataset.monthly:
            if before is None:
                at = f" style=grid-row:{day.weekday() + 1}" if day.weekday() else ""
            else:
                yield "<li>" * _weekdays_between(before, day)
            before = day
        sign, title = _sign(each, key)
        yield f'<li class={sign}{at} title="{title}">'


def _weekdays_between(first: date, last: date) -> int:
    return sum((first + timedelta(n)).weekday() < WEEKDAYS for n in range(1, (last - first).days))


def _sign(each: Coverage, day: str) -> tuple[str, str]:
    """The class of a day's cell, and its title."""
    state, label = each.states[day], each.dataset.label(day)
    if state is DayState.STORED and (failed := each.failed_checks(day)):
        return CHECK_FAILED, escape(f"{label} stored, did not pass: {', '.join(failed)}")
    return CLASSES[state], escape(f"{label} {state}")


def _series(each: Coverage) -> dict[str, dict[str, float]]:
    """What is shown of the newest days: name -> day -> number."""
    days = each.numbers
    others = sorted({name for numbers in days.values() for name in numbers} - ABOUT_THE_DOWNLOAD)
    series = {
        "rows": {day: numbers["rows"] for day, numbers in days.items() if "rows" in numbers},
        "MB on disk": {day: numbers["size"] / 1e6 for day, numbers in days.items()},
    }
    series |= {
        name.replace("_", " "): {day: numbers[name] for day, numbers in days.items() if name in numbers}
        for name in others
    }
    return {name: numbers for name, numbers in series.items() if numbers}


def _charts(each: Coverage) -> Iterator[str]:
    """A chart for each number that differs from day to day; the others are said in a line."""
    series = _series(each)
    same = {name: max(days.values()) for name, days in series.items() if min(days.values()) == max(days.values())}
    yield '<div class="charts">'
    for name in [name for name in series if name not in same]:
        yield from _chart(each, name, series[name])
    yield "</div>"
    if same:
        said = ", ".join(f"{escape(name)} {_number(value, name)}" for name, value in same.items())
        yield f'<p class="soft">The same each {each.dataset.day}: {said}.</p>'


def _chart(each: Coverage, name: str, series: Mapping[str, float]) -> Iterator[str]:
    """A bar a day, from zero on; where that would make a wall of equal bars, a dot a day, from the least on."""
    least, most = min(series.values()), max(series.values())
    yield f"<figure><figcaption>{escape(name)}: {_number(least, name)} to {_number(most, name)}</figcaption>"
    width = BAR_WIDTH * max(len(series), SERIES_DAYS // 4)
    yield f'<svg viewBox="0 0 {width} {BAR_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
    is_wall = least > most / 2
    floor = least if is_wall else min(least, 0)
    reach = (max(most, 0) - floor) or 1
    for place, (day, value) in enumerate(series.items()):
        share = (value - floor) / reach
        if is_wall:
            height, top = float(DOT_HEIGHT), (BAR_HEIGHT - DOT_HEIGHT) * (1 - share)
        else:
            height = max(0.8, BAR_HEIGHT * share)
            top = BAR_HEIGHT - height
        yield (
            f"<rect x={BAR_WIDTH * place} y={top:.1f} width={BAR_WIDTH - 0.6:g} height={height:.1f}>"
            f"<title>{each.dataset.label(day)}: {_number(value, name)}</title></rect>"
        )
    yield "</svg></figure>"


def _number(value: float, name: str = "") -> str:
    """A number for people; of a share, in per cent."""
    if name.endswith("share"):
        return f"{100 * value:,.3g}%"
    if abs(value) < 1e-9:  # what is left of a difference of floats
        return "0"
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"


def _checks(each: Coverage) -> Iterator[str]:
    if not each.verdicts:
        return
    day = each.dataset.day
    yield '<h3>Checks</h3><div class="scroll"><table><thead><tr>'
    heads = ("check", f"{day}s passed", f"newest {day}s that did not", "what it verifies")
    yield from (f'<th scope="col">{name}' for name in heads)
    yield "<tbody>"
    for name, text in each.dataset.checks.items():
        judged = {day: verdicts[name] for day, verdicts in sorted(each.verdicts.items()) if name in verdicts}
        failed = [each.dataset.label(day) for day, passed in judged.items() if not passed]
        yield f'<tr><th scope="row">{escape(name)}<td class="n{" bad" if failed else ""}">'
        yield f"{len(judged) - len(failed):,} of {len(judged):,}<td>{_newest(failed)}"
        yield f'<td class="why soft">{escape(text)}'
    yield "</table></div>"


def _newest(days: Iterable[str]) -> str:
    newest = sorted(days, reverse=True)
    return ", ".join(newest[:3]) + (f" and {len(newest) - 3:,} more" if len(newest) > 3 else "")
