# SPDX-License-Identifier: MIT
"""The statistics: means of the middle half, their intervals, and what these say of a bound.

What was measured are rounds, and in each are one or more values, which are not independent: in one
round the processes are the same, and so is the neighbourhood. So the figure is of all values
together, but its interval is made of how it would differ had a round not been there (the jackknife;
B. Efron, C. Stein: The Jackknife Estimate of Variance, 1981). How sure that is, as many rounds tell
as there are in the middle half (J. Tukey, D. McLaughlin: Less Vulnerable Confidence and
Significance Procedures for Location, 1963).
"""

import math
import statistics

HOLDS, MISSED, UNDECIDED = "holds", "MISSED", "undecided"
BUSY = "undecided: the machine was busy"
LEAST_ROUNDS = 6        # fewer say nothing of an interval


def mean_of_middle_half(values):
    """As indifferent to odd ones as the median, and steadier."""
    values = sorted(values)
    outside = len(values) // 4
    return statistics.fmean(values[outside:len(values) - outside])


def joined(rounds):
    return [value for each in rounds for value in each]


def estimate(rounds):
    return mean_of_middle_half(joined(rounds))


def student(freedom):
    """Student's t that lies outside of 95 % on both sides together, to 0.03 from 3 degrees
    of freedom on. M. Abramowitz, I. Stegun: Handbook of Mathematical Functions, 26.7.5."""
    x = 1.959964
    return (x + (x ** 3 + x) / (4 * freedom)
            + (5 * x ** 5 + 16 * x ** 3 + 3 * x) / (96 * freedom ** 2)
            + (3 * x ** 7 + 19 * x ** 5 + 17 * x ** 3 - 15 * x) / (384 * freedom ** 3))


def interval(rounds):
    """The 95 % interval of the estimate; without ends, where there are too few rounds."""
    count = len(rounds)
    if count < LEAST_ROUNDS:
        return -math.inf, math.inf
    without = [estimate(rounds[:left_out] + rounds[left_out + 1:]) for left_out in range(count)]
    error = math.sqrt((count - 1) * statistics.pvariance(without))
    middle = estimate(rounds)
    away = student(count - 2 * (count // 4) - 1) * error
    return middle - away, middle + away


def words(summary, digits=3):
    """The estimate, and its interval where there is one."""
    if summary["interval"] is None:
        return f"{summary['middle']:.{digits}f}, too few rounds"
    low, high = summary["interval"]
    return f"{summary['middle']:.{digits}f}, 95 % {low:.{digits}f} to {high:.{digits}f}"


def verdict(summary, bound, at_least, busy=False):
    """What a summary says of a bound; nothing, where the machine was busy with other things."""
    if busy:
        return BUSY
    low, high = summary["interval"] or (-math.inf, math.inf)
    if low >= bound if at_least else high <= bound:
        return HOLDS
    if high < bound if at_least else low > bound:
        return MISSED
    return UNDECIDED


def judged(summary, bound, at_least, busy=False):
    """A summary, with a bound and what it says of that."""
    return summary | {"bound": bound, "verdict": verdict(summary, bound, at_least, busy)}


def level(summary):
    """Whether ratios are clearly less or more than one."""
    low, high = summary["interval"] or (-math.inf, math.inf)
    return "less" if high < 1 else "more" if low > 1 else UNDECIDED


def summary(rounds):
    """What is written down of rounds, each a list of values; an empty one tells nothing."""
    rounds = [each for each in rounds if each]
    low, high = interval(rounds)
    return {"values": len(joined(rounds)), "rounds": len(rounds), "middle": estimate(rounds),
            "interval": [low, high] if math.isfinite(low) else None}


def one(value):
    """A figure of a round: that of its slices, where it is of several, is their median."""
    return statistics.median(value) if isinstance(value, list) else value


def in_pairs(rounds, of, over, what, compare):
    """Of each round that has both, what comes of comparing the one with the other, slice by slice.
    """
    return [list(map(compare, each[of][what], each[over][what]))
            for each in rounds if of in each and over in each]


def ratios(rounds, of, over, what):
    """In each round that has both, what of the one stands to what of the other."""
    return in_pairs(rounds, of, over, what, lambda ours, others: ours / others)


def differences(rounds, of, over, what):
    return in_pairs(rounds, of, over, what, lambda ours, others: ours - others)


def middle(rounds, of, what):
    return statistics.median(one(each[of][what]) for each in rounds if of in each)


def missed(results):
    """Whether a verdict anywhere in the results is a bad one."""
    if isinstance(results, list):
        return any(map(missed, results))
    if not isinstance(results, dict):
        return False
    return results.get("verdict") == MISSED or any(map(missed, results.values()))
