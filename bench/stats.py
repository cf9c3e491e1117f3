# SPDX-License-Identifier: MIT
"""The statistics: medians, their intervals by ranks, and what these say of a bound."""

import math
import statistics

HOLDS, MISSED, UNDECIDED = "holds", "MISSED", "undecided"
BUSY = "undecided: the machine was busy"


def interval(values):
    """The 95 % interval of the median, from the ranks alone: no round weighs more for being odd.

    Fewer than six values say nothing of it: then it has no ends.
    """
    values, count = sorted(values), len(values)
    below, outside = 0, 0.0
    while below < count // 2:
        outside += 2 * math.comb(count, below) / 2 ** count
        if outside > 0.05:
            break
        below += 1
    if below == 0:
        return -math.inf, math.inf
    return values[below - 1], values[count - below]


def words(values, digits=3):
    """The median, and its interval where there is one."""
    low, high = interval(values)
    middle_value = f"{statistics.median(values):.{digits}f}"
    if not math.isfinite(low):
        return f"{middle_value}, too few rounds"
    return f"{middle_value}, 95 % {low:.{digits}f} to {high:.{digits}f}"


def verdict(values, bound, at_least, busy=False):
    """What the values say of a bound; nothing, where the machine was busy with other things."""
    if busy:
        return BUSY
    low, high = interval(values)
    if low >= bound if at_least else high <= bound:
        return HOLDS
    if high < bound if at_least else low > bound:
        return MISSED
    return UNDECIDED


def level(values, busy=False):
    """Whether ratios are clearly less or more than one."""
    if busy:
        return BUSY
    low, high = interval(values)
    return "less" if high < 1 else "more" if low > 1 else UNDECIDED


def summary(values):
    """What is written down of values: all of them, their median and its interval."""
    low, high = interval(values)
    return {"values": values, "median": statistics.median(values),
            "interval": [low, high] if math.isfinite(low) else None}


def one(value):
    """A figure of a round: that of its slices, where it is of several, is their median."""
    return statistics.median(value) if isinstance(value, list) else value


def paired(rounds, of, over, what, compare):
    """What comes of comparing the one with the other in each round that has both: slice by slice,
    where there are several, and then the median. So a round is one value, whatever is in it."""
    values = []
    for each in rounds:
        if of in each and over in each:
            ours, others = each[of][what], each[over][what]
            values.append(statistics.median(map(compare, ours, others))
                          if isinstance(ours, list) else compare(ours, others))
    return values


def ratios(rounds, of, over, what):
    """In each round that has both, what of the one stands to what of the other."""
    return paired(rounds, of, over, what, lambda ours, others: ours / others)


def differences(rounds, of, over, what):
    return paired(rounds, of, over, what, lambda ours, others: ours - others)


def middle(rounds, of, what):
    return statistics.median(one(each[of][what]) for each in rounds if of in each)


def missed(results):
    """Whether a verdict anywhere in the results is a bad one."""
    if isinstance(results, list):
        return any(map(missed, results))
    if not isinstance(results, dict):
        return False
    return results.get("verdict") == MISSED or any(map(missed, results.values()))
