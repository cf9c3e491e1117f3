# SPDX-License-Identifier: MIT
"""The smallest things of asyncio, as bench/yield.c measures those of Evert:

    small.py ROUNDS        prints one line of JSON: the nanoseconds of each round
    small.py park COUNT    says "ready" when so many tasks wait, until standard input ends
"""

import asyncio
import json
import statistics
import sys
import time

CROWD, BATCHES = 1000, 21
YIELDS = 10 * 1000  # fewer than elsewhere, as of what is cancelled: it takes long enough
MANY = 1000 * 1000
TIMERS = 100 * 1000


async def yield_often():
    for _ in range(YIELDS):
        await asyncio.sleep(0)


async def measure_pair():
    began = time.perf_counter_ns()
    await asyncio.gather(yield_often(), yield_often())
    return (time.perf_counter_ns() - began) / 2 / YIELDS


async def nothing():
    pass


async def measure_spawn():
    batches = []
    for _ in range(BATCHES):
        began = time.perf_counter_ns()
        tasks = [asyncio.create_task(nothing()) for _ in range(CROWD)]
        await asyncio.wait(tasks)
        batches.append((time.perf_counter_ns() - began) / CROWD)
    return statistics.median(batches)


def some_times(count):
    """Seconds to any moment of an hour that begins in an hour."""
    random = 1
    for _ in range(count):
        random = (random * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        yield 3600 + (random >> 22) / 1e9


async def measure_timers():
    """What was cancelled leaves the heap in a turn of the loop, so there are such."""
    loop = asyncio.get_running_loop()
    others = [loop.call_later(when, print) for when in some_times(MANY)]
    times = list(some_times(TIMERS))
    began = time.perf_counter_ns()
    for number, when in enumerate(times):
        loop.call_later(when, print).cancel()
        if number % CROWD == 0:
            await asyncio.sleep(0)
    taken = (time.perf_counter_ns() - began) / TIMERS
    for timer in others:
        timer.cancel()
    await asyncio.sleep(0)
    return taken


async def measure_all(rounds):
    values = {}
    for name, measure in (("pair", measure_pair), ("spawn", measure_spawn),
                          ("timers", measure_timers)):
        values[name] = [await measure() for _ in range(rounds)]
    print(json.dumps(values))


async def park(count):
    loop = asyncio.get_running_loop()

    async def wait_for_ever():
        await loop.create_future()

    tasks = [asyncio.create_task(wait_for_ever()) for _ in range(count)]
    await asyncio.sleep(0)  # each has begun
    print("ready", flush=True)
    sys.stdin.read()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    if sys.argv[1:2] == ["park"]:
        asyncio.run(park(int(sys.argv[2])))
    else:
        asyncio.run(measure_all(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
