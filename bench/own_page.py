# SPDX-License-Identifier: MIT
"""What a page for each connection takes, which a task with a stack has and raw C has not."""

from dataclasses import dataclass, field

import stats
from context import is_busy, show
from pairs import MOST_CPU, OfPairs, Pairs
from servers import COROUTINES, PAGE, RAW, RAW_URING, Server, commands


@dataclass
class OwnPage(OfPairs):
    """Coroutines, and raw C made to touch one line of a page for each connection, beside raw C and
    beside each other, measured as the pairs are. What coroutines take more than the second is their
    own; what that takes more than raw C is the way to the page."""

    of: Pairs
    name: str
    kind: str = field(default="page", init=False)

    @property
    def title(self):
        return f"A page for each connection, in {self.of.name}"

    @staticmethod
    def trios(context):
        """On each of the back ends: coroutines, raw C with such a page, and raw C."""
        for raw in context.servers:
            if raw.name not in (RAW, RAW_URING):
                continue
            page = Server(raw.name + PAGE, commands(context.build, raw.name + PAGE), raw=raw.name)
            style = next(server for server in context.of_evert()
                         if server.raw == raw.name and server.name.startswith(COROUTINES))
            yield style, page, raw

    def run(self, context):
        trios = list(self.trios(context))
        results = self.measure(context, [server for trio in trios for server in trio])
        results["cpu"] = {style.name: self.compare(results["rounds"], style, page, raw)
                          for style, page, raw in trios}
        self.show(results)
        return results

    @staticmethod
    def compare(rounds, style, page, raw):
        rounds = [each for each in rounds if style.name in each]

        def times(server, other):
            return stats.summary(stats.ratios(rounds, server.name, other.name, "cpu_ns"))

        return {"page_to_raw": times(page, raw), "to_raw": times(style, raw),
                "to_page": stats.judged(times(style, page), MOST_CPU, False, is_busy(rounds))}

    @staticmethod
    def show(results):
        for style, cpu in results["cpu"].items():
            show(style, f"CPU, times raw C {stats.words(cpu['to_raw'])}")
            show("raw C with such a page", f"times raw C {stats.words(cpu['page_to_raw'])}")
            show(style, f"times raw C with such a page {stats.words(cpu['to_page'])}")
            show(f"at most {MOST_CPU}", cpu["to_page"]["verdict"])
        print(flush=True)
