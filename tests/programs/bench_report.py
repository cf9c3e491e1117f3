#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The statistics of the measurements, and the page and the charts that are made of results."""

import dataclasses
import math
import os
import random
import re
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import expect  # noqa: E402

sys.path.insert(0, os.path.join(support.SOURCE, "bench"))
import chart  # noqa: E402
import context  # noqa: E402
import measuring  # noqa: E402
import pairs  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import stats  # noqa: E402
from servers import PAGE, RAW, Server  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


# Of the tables of Student's t: what lies outside of 95 % on both sides, by degrees of freedom.
STUDENT = {3: 3.182, 5: 2.571, 8: 2.306, 14: 2.145, 29: 2.045, 39: 2.023}


def intervals_are_those_of_students_t():
    for freedom, t in STUDENT.items():
        close = 0.004 if freedom > 4 else 0.03
        expect(f"{freedom}", True, abs(stats.student(freedom) - t) < close)


def an_interval_is_made_of_what_would_be_without_each_of_the_rounds():
    """Without them, in turn, it is 4, 4, 11/3, 10/3, 3 and 3."""
    rounds = [[6], [1], [5], [2], [4], [3]]
    expect("estimate", 3.5, stats.estimate(rounds))
    error = math.sqrt(5 / 6 * (4 * 0.5 ** 2 + 2 * (1 / 6) ** 2))
    low, high = stats.interval(rounds)
    expect("low", round(3.5 - stats.student(3) * error, 9), round(low, 9))
    expect("high", round(3.5 + stats.student(3) * error, 9), round(high, 9))


def made_up_rounds(generator, count, of_the_round):
    """Eight values each, about 1, which a round moves all by as much as each is moved by itself."""
    return [[1 + moved + generator.gauss(0, 0.05) for _ in range(8)]
            for moved in (generator.gauss(0, of_the_round) for _ in range(count))]


def share_that_has_1_in_it(rounds_of, times=150):
    intervals = [stats.interval(rounds_of()) for _ in range(times)]
    return sum(low <= 1 <= high for low, high in intervals) / times


def an_interval_has_the_truth_in_it_as_often_as_it_says():
    generator = random.Random(1)
    for count in (10, 40):
        share = share_that_has_1_in_it(lambda: made_up_rounds(generator, count, 0.05))
        expect(f"{count} rounds: {share}", True, 0.9 <= share <= 0.99)


def values_of_a_round_are_not_taken_for_independent():
    generator = random.Random(1)

    def cut_up():
        return [[value] for value in stats.joined(made_up_rounds(generator, 10, 0.05))]

    expect("too seldom", True, share_that_has_1_in_it(cut_up, 60) < 0.8)


def an_odd_round_hardly_moves_an_interval():
    rounds = [[0.9 + i / 75] * 3 for i in range(16)]
    low, high = stats.interval(rounds)
    odd_low, odd_high = stats.interval(rounds[:-1] + [[10 ** 9] * 3])
    expect("the same", (round(low, 6), round(high, 6)), (round(odd_low, 6), round(odd_high, 6)))


def few_rounds_have_no_interval():
    for count in range(1, 6):
        expect(f"interval of {count}", (-math.inf, math.inf), stats.interval([[1.0, 2.0]] * count))
    summary = stats.summary([[1.0] * 9] * 5)
    expect("summary", None, summary["interval"])
    expect("verdict", "undecided", stats.verdict(summary, 0.5, True))


def rounds_in_which_nothing_was_clean_do_not_count():
    expect("summary", (12, 6, 1.0), tuple(stats.summary([[1.0, 1.0], []] * 6)[what]
                                          for what in ("values", "rounds", "middle")))


def about(middle):
    return {"middle": middle, "interval": [middle - 0.04, middle + 0.04]}


def verdicts_are_undecided_where_the_bound_is_in_the_interval():
    for middle, at_least, word in [
            (1.05, True, "holds"), (1.03, True, "undecided"), (0.97, True, "undecided"),
            (0.95, True, "MISSED"), (0.95, False, "holds"), (0.97, False, "undecided"),
            (1.03, False, "undecided"), (1.05, False, "MISSED")]:
        expect(f"{middle}, at least: {at_least}", word,
               stats.verdict(about(middle), 1.0, at_least))
        judged = stats.judged(about(middle), 1.0, at_least)
        expect("judged", (1.0, word, middle),
               tuple(judged[what] for what in ("bound", "verdict", "middle")))


def a_busy_machine_decides_nothing():
    expect("verdict", stats.BUSY, stats.verdict(about(9), 1.0, True, busy=True))


def levels_say_less_or_more():
    for middle, word in [(0.95, "less"), (0.97, "undecided"), (1.03, "undecided"), (1.05, "more")]:
        expect(f"{middle}", word, stats.level(about(middle)))


def ratios_are_those_of_neighbours_in_the_same_round():
    """And not the ratio of what is usual in the round."""
    ours, raw = [1.0, 30.0, 2.0, 8.0, 10.0], [1.0, 20.0, 1.0, 4.0, 10.0]
    rounds = [{"ours": {"x": ours}, "raw": {"x": raw}}, {"ours": {"x": ours}},
              {"ours": {"x": [6.0]}, "raw": {"x": [3.0]}}]
    expect("ratios", [[1.0, 1.5, 2.0, 2.0, 1.0], [2.0]], stats.ratios(rounds, "ours", "raw", "x"))
    expect("differences", [[0.0, 10.0, 1.0, 4.0, 0.0], [3.0]],
           stats.differences(rounds, "ours", "raw", "x"))
    expect("middle", 8.0, stats.middle(rounds[:1], "ours", "x"))


def what_is_slow_for_both_of_a_pair_does_not_count():
    """Fifteen rounds of slices in which the machine is a hundred times slower by turns."""
    raw = [[slice_of_round * 100.0 ** (i % 2) for i in range(8)] for slice_of_round in range(1, 16)]
    rounds = [{"ours": {"x": [0.98 * each for each in values]}, "raw": {"x": values}}
              for values in raw]
    low, high = stats.interval(stats.ratios(rounds, "ours", "raw", "x"))
    expect("interval", (0.98, 0.98), (round(low, 9), round(high, 9)))


def small_things_count_where_the_core_was_the_programs_alone():
    """In the first two of twenty rounds it was not, and a yield took twice as long."""
    row = next(row for row in rows.ROWS if row.name == "yield")
    busy = [4.0, 4.0] + [2.0] * 18
    measured = {"bare": busy, "pair": [2 * each + 2 for each in busy],
                "additions": {"bare": [1.9] + [3.2] * 19, "pair": [3.1, 2.0] + [3.2] * 18}}
    found = row.summarise(row.undisturbed(measured))
    expect("rounds", (19, 19, 18), (found["bare"]["rounds"], found["pair"]["rounds"],
                                    found["pair"]["over"]["rounds"]))
    expect("over", (4.0, "holds"), (found["pair"]["over"]["middle"],
                                    found["pair"]["over"]["verdict"]))
    found = row.summarise(row.undisturbed({"bare": [2.0] * 6, "spawn": [60.0] * 6}))
    expect("where nothing is said of the core", ("MISSED", 6),
           (found["spawn"]["verdict"], found["spawn"]["rounds"]))


def servers_of_a_pair_are_put_in_order_by_their_ratio():
    """Coroutines serve 100, beside a peer 50, which has as many: so the peer would have 100."""
    rounds = [{"coroutines": {"per_second": [100.0]}, RAW: {"per_second": [120.0]}},
              {"coroutines": {"per_second": [100.0]}, RAW: {"per_second": [120.0]}},
              {"coroutines": {"per_second": [50.0]}, "libold": {"per_second": [50.0]}}]
    for name, value in [("coroutines", 100.0), ("libold", 100.0), (RAW, 120.0)]:
        expect(name, value, round(pairs.a_second(rounds, name), 6))


def a_disturbed_round_is_set_aside_not_for_ever():
    def round_with(others):
        return {RAW: {"others": others}}

    group = pairs.Group(SERVERS, 4, 1, 1)
    order = group.in_order()
    for others in (0.5, 0.0, 0.5, 0.6):
        group.add(round_with(others))
    expect("rounds", [round_with(0.0), round_with(0.6)], group.rounds)
    expect("order", (SERVERS, SERVERS, SERVERS[::-1]),
           (order, group.in_order(), pairs.Group(SERVERS, 2, 1, 1).in_order()))


def a_set_in_which_somebody_waited_for_a_core_does_not_count():
    def slices(*waited):
        return [{"seconds": 0.01, "waited_ns": each * 1e6, "number": number}
                for number, each in enumerate(waited)]

    found = {RAW: (slices(0, 5, 0, 0), []), "coroutines": (slices(0, 0, 0.1, 9), [])}
    full, clean = pairs.clean_sets(found, False)
    expect("clean", 0.5, clean)
    for name in found:
        expect(name, [0, 2], [each["number"] for each in full[name]])
    expect("none", ({}, 1), pairs.clean_sets(found, True))
    found = {RAW: (slices(5, 0), []), "coroutines": (slices(0, 5), [])}
    full, clean = pairs.clean_sets(found, False)
    expect("no set is clean", (2, 0), (len(full[RAW]), clean))


def a_round_is_disturbed_by_others_or_when_a_server_falls_behind():
    for round_of, disturbed in [({"others": 0.05, "clean": 0.1}, False),
                                ({"others": 0.2, "clean": 0.6}, False),
                                ({"others": 0.2, "clean": 0.4}, True),
                                ({"others": 0.2}, True),
                                ({"others": 0.0, "clean": 1.0, "held": 0.97}, True)]:
        expect(round_of, disturbed, context.is_disturbed([{RAW: {"others": 0.0}},
                                                          {RAW: round_of}]))


def more_than_a_tenth_of_the_rounds_disturbed_decide_nothing():
    calm, disturbed = {RAW: {"others": 0.0}}, {RAW: {"others": 0.2}}
    for count, busy in [(0, False), (1, False), (2, True)]:
        expect(f"{count} of ten", busy,
               context.is_busy([calm] * (10 - count) + [disturbed] * count))


def as_many_are_asked_in_turn_as_the_load_may_have_connections_to():
    with_uring = [Server("coroutines", {"greeting": []}, RAW), *SERVERS[1:3],
                  Server("libold", {"greeting": []}, peer="0.1")]
    given = context.Context(Path("build"), with_uring)
    names = {row.name: [[server.name for server in group.servers] for group in row.groups(given)]
             for row in rows.ROWS if row.kind == "pairs"}
    expect("few", [["coroutines", "callbacks", RAW], ["coroutines", "libold"]], names["line-1-64"])
    most, _ = pairs.resource.getrlimit(pairs.resource.RLIMIT_NOFILE)
    if 18500 < most < 27000:
        expect("many", [["coroutines", RAW], ["callbacks", RAW], ["coroutines", "libold"]],
               names["line-1-9000"])


def one_rate_for_all_that_raw_is_beside_and_less_for_a_slower_peer():
    peers = [Server(name, {"greeting": []}, peer="0.1") for name in ("fast", "slow", "broken")]
    given = context.Context(Path("build"), SERVERS + peers)
    row = next(row for row in rows.ROWS if row.name == "line-1-64")

    def measure(_, group, sets):
        expect("sets", {"sets": 4}, sets)
        if group.servers[-1].name == "broken":
            raise measuring.Failure("it does not listen")
        speed = {"callbacks": 1800, "slow": 400}
        return {server.name: {"per_second": [1, speed.get(server.name, 2000), 1]}
                for server in group.servers}

    row = dataclasses.replace(row)
    row.measure = measure
    groups = row.groups(given)
    expect("rate", 900, row.choose_rates(given, groups))
    expect("rates", {RAW: 900, "fast": 900, "slow": 200, "broken": 900},
           {group.servers[-1].name: group.rate for group in groups})
    expect("rounds of the broken one", 0, groups[-1].wanted)


def a_missed_bound_is_found_wherever_it_is():
    results = {"rounds": [1, 2], "servers": {"a": {"verdict": "holds"}, "b": [{"verdict": "?"}]}}
    expect("before", False, stats.missed(results))
    results["servers"]["b"][0]["verdict"] = "MISSED"
    expect("after", True, stats.missed(results))


def who_does_not_end_in_time_has_failed():
    """As any other failure, so that a peer that cannot do a row is left out of that row."""
    with measuring.started(["sleep", "60"], None) as process:
        try:
            measuring.output_of(process, 0.1)
        except measuring.Failure as failure:
            expect("words", "sleep did not end in 0 seconds", str(failure))
        else:
            raise support.Failed("expected a failure, got none")


def the_table_of_strace_is_understood():
    text = ("    calls    errors syscall\n--------- --------- ----------------\n"
            "      100        30 recvfrom\n       70           sendto\n"
            "        5         5 accept4\n--------- --------- ----------------\n"
            "      175        35 total\n")
    expect("counts", {"recvfrom": 70, "recvfrom, failed": 30, "sendto": 70, "accept4": 0,
                      "accept4, failed": 5}, measuring.read_trace(text))


def count_calls(served):
    """Of a server that makes two calls for each request, and three once; `served` gives how many
    requests there are in so many seconds."""
    usual = measuring.trace
    measuring.trace = lambda server, load, options, seconds: (
        {"recvfrom": 2 * served(seconds), "socket": 3}, served(seconds))
    try:
        return measuring.count_calls(["server"], "load", {})
    finally:
        measuring.trace = usual


def calls_are_counted_over_as_long_as_it_takes():
    """A thousand newcomers are the same thousand in a short load and in one that is not long."""
    expect("at once", {"recvfrom": 2.0}, count_calls(lambda seconds: int(seconds * 100)))
    expect("later", {"recvfrom": 2.0}, count_calls(lambda seconds: 3000 if seconds > 1 else 1000))
    for served in (1000, 0):
        try:
            count_calls(lambda seconds, served=served: served)
        except measuring.Failure:
            continue
        raise support.Failed(f"expected a failure with {served} requests, got none")


def calls_are_compared_by_kind():
    expect("more", "+0.50 brk, -1.00 receive in vain", report.more_calls(
        {"sendmsg": 1.0, "recvfrom": 1.0, "epoll_wait": 0.04, "brk": 0.5},
        {"sendto": 1.0, "recvfrom": 1.0, "recvfrom, failed": 1.0}))


def ticks_are_round_and_enclose():
    for low, high in [(0, 7), (0.93, 1.04), (0, 61234), (0.2, 1.61), (0, 0.19)]:
        marks = chart.ticks(low, high)
        if not (marks[0] <= low and marks[-1] >= high and 3 <= len(marks) <= 10):
            raise support.Failed(f"ticks of {low} to {high}: {marks}")
        expect("words", len(marks), len(set(chart.tick_words(marks))))


# ---- A page of made-up results ----

MACHINE = {"processor": "Made Up", "cores": 2, "memory_bytes": 2 ** 31, "kernel": "Linux 6",
           "system": "Some", "compiler": "cc 1", "load": 0.1, "server_core": 0, "load_core": 1,
           "own_network": True}


SERVERS = [Server("coroutines", {}, RAW), Server("callbacks", {}, RAW), Server(RAW, {}),
           Server("libold", {}, peer="0.1")]


def pairs_results(ratio):
    """A row in which coroutines serve `ratio` as much as raw epoll, callbacks as much, and another
    library, of which there are fewer rounds, half as much."""
    def measured(per_second):
        return {"per_second": [per_second] * 3, "ns": [1e9 / per_second] * 3,
                "cpu_ns": [5000.0] * 3, "cpu_share": 1.0, "others": 0.0, "held": 1.0}

    row = next(row for row in rows.ROWS if row.name == "line-1-64")
    rounds = [{RAW: measured(1000.0), "callbacks": measured(1000.0),
               "coroutines": measured(1000.0 * ratio)} for _ in range(9)]
    for each in rounds[:6]:
        each["libold"] = measured(500.0) | {"cpu_ns": [10000.0] * 3}
    given = context.Context(Path("build"), SERVERS)
    row = dataclasses.replace(row)
    row.count = lambda _: {"1": {RAW: {"recvfrom": 1.0},
                                 "coroutines": {"recvfrom": 1.0, "brk": 0.5},
                                 "callbacks": {"recvfrom": 1.0}}}
    return head(row) | row.results(given, rounds, 500)


def head(row):
    return {"row": row.name, "kind": row.kind, "title": row.title, "command": row.command(),
            "round_count": 9, "took": 12.0, "additions": [3.81, 1.96], "machine": MACHINE}


def self_results():
    row = next(row for row in rows.ROWS if row.kind == "self")
    return head(row) | {"of": "line-1-64", "measured": 8.4,
                        "throughput": about(1.004), "cpu": about(1.0)}


def page_results():
    """Raw C with a page takes a tenth more than without, and coroutines as much as that."""
    def measured(cpu_ns):
        return {"cpu_ns": [cpu_ns] * 3, "others": 0.0, "held": 1.0}

    row = next(row for row in rows.ROWS if row.kind == "page")
    page = Server(RAW + PAGE, {}, RAW)
    rounds = [{"coroutines": measured(1100.0), page.name: measured(1100.0), RAW: measured(1000.0)},
              {RAW: measured(1.0)}] * 6
    return head(row) | {"of": row.of.name, "rate": 500, "rounds": rounds, "cpu": {
        "coroutines": row.compare(rounds, SERVERS[0], page, SERVERS[2])}}


def mixed_results():
    """The peer is the quickest, and falls behind."""
    def measured(p999, keeps=1.0):
        return {"p50_us": [10.0], "p99_us": [100.0], "p999_us": [p999], "all_p999_us": 2 * p999,
                "cpu_ns": [5000.0], "keeps": keeps, "others": 0.0}

    row = next(row for row in rows.ROWS if row.kind == "mixed")
    each = {RAW: measured(400.0), "coroutines": measured(600.0), "callbacks": measured(500.0),
            "libold": measured(300.0, keeps=0.5)}
    return head(row) | row.results(SERVERS, [each] * 6)


def beside_results():
    row = next(row for row in rows.ROWS if row.kind == "beside")
    rounds = [{"Evert": {"timers": 20.0 + i % 2, "pair": 10.0, "spawn": 40.0},
               "libold": {"timers": 90.0}} for i in range(8)]
    return head(row) | {"parked": row.more, "libraries": {
        "Evert": row.summarise(rounds, "Evert") | {"resident": 4097.2, "kernel": None},
        "libold": row.summarise(rounds, "libold")}}


def write_page(results):
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(folder)
        report.make_page(results).write(docs)
        text = (docs / "benchmarks.md").read_text(encoding="utf-8")
        charts = {path.name: path.read_text(encoding="utf-8")
                  for path in (docs / "benchmarks").iterdir()}
    expect("charts in the page", sorted(charts),
           sorted(re.findall(r"\(benchmarks/([-a-z0-9]+\.svg)\)", text)))
    return text, charts


def line_of(text, *words):
    lines = [line for line in text.splitlines() if all(word in line for word in words)]
    if not lines:
        raise support.Failed(f"no line of the page has {words}")
    return lines[0]


def the_page_holds_the_figures():
    text, _ = write_page([pairs_results(0.9)])
    line = line_of(text, "`line-1-64`", "coroutines", "0.97")
    for words in ("| 900 | 1,000 | 100 % | 0.900 (0.900 to 0.900) |", "MISSED"):
        expect(words, True, words in line)
    expect("callbacks hold", True, "holds" in line_of(text, "`line-1-64`", "callbacks", "0.97"))
    expect("calls", True, "| coroutines | 1.500 | +0.50 brk |" in text)
    expect("a peer", True, "1.800 (1.800 to 1.800) | ahead | 0.500 (0.500 to 0.500) | ahead |"
           in line_of(text, "| libold | 500"))
    expect("its version", True, "- libold: 0.1" in text)
    expect("machine", True, "Made Up, 2 cores, 2 GiB" in text)
    expect("how much of the core", True, "| 12 | 3.8, 2.0 |" in text)


def the_page_says_how_finely_the_pairs_tell():
    text, _ = write_page([self_results()])
    line = line_of(text, "requests a second", "`line-1-64`")
    expect(line, True, "| 1.004 (0.964 to 1.044) | 8 |" in line)


def the_page_says_what_a_page_for_each_connection_takes():
    text, _ = write_page([pairs_results(1.0), page_results()])
    expect("figures", True, "| `line-1-1000` | coroutines | 500 | 1.100 (1.100 to 1.100) "
                            "| 1.100 (1.100 to 1.100) | 1.000 (1.000 to 1.000) | at most 1.05 "
                            "| holds |" in text)
    expect("with the CPU time", True,
           text.index("## CPU time") < text.index("### A page") < text.index("## System calls"))


def the_page_holds_the_latencies():
    text, charts = write_page([mixed_results()])
    expect("raw", True, f"| {RAW} | 10 | 100 | 400 | 800 |" in text)
    expect("times raw", True, "1.50 (1.50 to 1.50)" in line_of(text, "| coroutines | 10 |"))
    expect("behind", True, "| 50 % |" in line_of(text, "| libold | 10 |"))
    expect("the quickest first", True, text.index("| libold |") < text.index("| callbacks |"))
    expect("who fell behind is not drawn", False, "libold" in charts["mixed.svg"])


def the_page_holds_the_smallest_things_of_others():
    text, _ = write_page([beside_results()])
    expect("Evert", True, "| Evert | 20.5 (19.7 to 21.3) | 40.0 (40.0 to 40.0) | "
                          "10.0 (10.0 to 10.0) | 4,097 | - |" in text)
    expect("a peer", True, "| libold | 90.0 (90.0 to 90.0) |  |  |  |  |" in text)


def the_charts_are_drawn_to_scale():
    _, charts = write_page([pairs_results(0.9)])
    places = {}
    for name, text in charts.items():
        root = xml.fromstring(text)
        width = float(root.get("width"))
        for element in root.iter():
            for key in ("x", "cx", "x1", "x2"):
                if not 0 <= float(element.get(key, 0)) <= width:
                    raise support.Failed(f"{name}: {element.attrib} is outside of the picture")
        places[name] = [float(dot.get("cx")) for dot in root.iter(f"{SVG}circle")]
    ours, callbacks = places["throughput.svg"]
    expect("coroutines left of callbacks", True, ours < callbacks)
    expect("the same CPU time", 1, len(set(places["cpu.svg"])))


def bars_are_as_long_as_their_values():
    root = xml.fromstring(chart.bars("a", "b", {"x": "#111111", "y": "#222222"},
                                     [("one", {"x": 10, "y": 20})], "things"))
    lengths = {box.get("fill"): float(box.get("width")) for box in root.iter(f"{SVG}rect")
               if float(box.get("x", 0)) >= chart.LEFT}
    expect("twice as long", True, abs(lengths["#222222"] - 2 * lengths["#111111"]) < 0.2)


CASES = [
    intervals_are_those_of_students_t,
    an_interval_is_made_of_what_would_be_without_each_of_the_rounds,
    an_interval_has_the_truth_in_it_as_often_as_it_says,
    values_of_a_round_are_not_taken_for_independent, an_odd_round_hardly_moves_an_interval,
    few_rounds_have_no_interval, rounds_in_which_nothing_was_clean_do_not_count,
    verdicts_are_undecided_where_the_bound_is_in_the_interval, a_busy_machine_decides_nothing,
    levels_say_less_or_more, ratios_are_those_of_neighbours_in_the_same_round,
    what_is_slow_for_both_of_a_pair_does_not_count,
    small_things_count_where_the_core_was_the_programs_alone,
    servers_of_a_pair_are_put_in_order_by_their_ratio, a_disturbed_round_is_set_aside_not_for_ever,
    a_set_in_which_somebody_waited_for_a_core_does_not_count,
    a_round_is_disturbed_by_others_or_when_a_server_falls_behind,
    more_than_a_tenth_of_the_rounds_disturbed_decide_nothing,
    as_many_are_asked_in_turn_as_the_load_may_have_connections_to,
    one_rate_for_all_that_raw_is_beside_and_less_for_a_slower_peer,
    a_missed_bound_is_found_wherever_it_is, who_does_not_end_in_time_has_failed,
    the_table_of_strace_is_understood, calls_are_counted_over_as_long_as_it_takes,
    calls_are_compared_by_kind, ticks_are_round_and_enclose,
    the_page_holds_the_figures, the_page_says_how_finely_the_pairs_tell,
    the_page_says_what_a_page_for_each_connection_takes,
    the_page_holds_the_latencies, the_page_holds_the_smallest_things_of_others,
    the_charts_are_drawn_to_scale, bars_are_as_long_as_their_values,
]


def main():
    cases = support.Cases()
    for case in CASES:
        cases.run(support.words_of(case), case)
    cases.exit()


if __name__ == "__main__":
    main()
