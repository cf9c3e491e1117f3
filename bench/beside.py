# SPDX-License-Identifier: MIT
"""The smallest things, beside the same in other libraries: in nanoseconds, and in bytes."""

import contextlib
import subprocess
from dataclasses import dataclass, field

import measuring
import stats
from context import measure_each, show
from measuring import Failure
from servers import EVERT, Server

WORDS = {"timers": "timer", "spawn": "spawn", "pair": "yield"}


@contextlib.contextmanager
def parked(command, count, group):
    """A process in which so many tasks wait."""
    with measuring.started([*command, count], measuring.SERVER_CORE, group=group,
                           stdin=subprocess.PIPE) as process:
        if measuring.read_line(process, 6) != "ready":
            raise Failure(f"{count:,} tasks were not there")
        yield process


def held(command, count):
    """What is held for so many tasks, by the process and in the kernel."""
    group = measuring.MemoryGroup()
    try:
        with parked(command, count, group) as process:
            return measuring.resident_bytes(process.pid), group.kernel_bytes()
    finally:
        group.close()


@dataclass
class Beside:
    """A timer set and cancelled, a task spawned and joined, a yield, and what a task holds that
    waits: of Evert, and of each library that has it. In a round each is a process of its own."""

    name: str
    title: str
    first: int = 1000  # tasks after which nothing is new any more
    more: int = 100000
    rounds: int = 6
    kind: str = field(default="beside", init=False)

    def command(self):
        return "bench/yield 1, bench/parked, bench/peers/LIBRARY_small 1"

    def libraries(self, context):
        evert = Server(EVERT, {"small": [context.build / "bench/yield"],
                               "park": [context.build / "bench/parked"]})
        return [evert, *context.peers_for("small")]

    @staticmethod
    def measure(library):
        values = measuring.run_json(*library.programs["small"], 1)
        return {name: values[name][0] for name in WORDS if name in values}

    def weigh(self, library, measured):
        """Of each library that has tasks; in a process of few of them, and one of many."""
        if "pair" not in measured:
            return {}
        command = library.programs.get("park", [*library.programs["small"], "park"])
        try:
            few, many = (held(command, count) for count in (self.first, self.first + self.more))
        except Failure as failure:
            print(f"    {library.name}: {failure}", flush=True)
            return {}
        each = [(more - less) / self.more if None not in (less, more) else None
                for less, more in zip(few, many)]
        return dict(zip(("resident", "kernel"), each))

    def run(self, context):
        libraries, rounds = self.libraries(context), []
        count = context.rounds or self.rounds
        print(f"{self.title}: {count} rounds\n", flush=True)
        for _ in range(count):
            measured, failed = measure_each(self.measure, libraries)
            libraries = [library for library in libraries if library not in failed]
            rounds.append(measured)
        results = {"rounds": rounds, "parked": self.more, "libraries": {}}
        for library in libraries:
            each = self.summarise(rounds, library.name)
            results["libraries"][library.name] = each
            each |= self.weigh(library, each)
            self.show(library.name, each)
        print(flush=True)
        return results

    @staticmethod
    def summarise(rounds, name):
        found = rounds[0][name]
        return {what: stats.summary([[each[name][what]] for each in rounds])
                for what in WORDS if what in found}

    @staticmethod
    def show(name, each):
        words = [f"{WORDS[what]} {stats.words(each[what], 1)} ns"
                 for what in WORDS if what in each]
        if "resident" in each:
            words.append(f"{each['resident']:,.0f} bytes parked, {each['kernel'] or 0:,.0f} in the "
                         "kernel")
        show(name, "; ".join(words))
