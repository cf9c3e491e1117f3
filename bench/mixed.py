# SPDX-License-Identifier: MIT
"""How long answers take where requests of all kinds come at a fixed rate."""

from dataclasses import dataclass, field

import measuring
import stats
from context import about, leave_out, show, watched
from measuring import Failure
from pairs import Group, ask_in_turn, for_each
from servers import RAW


@dataclass
class Mixed:
    """Latencies of all servers, those in other libraries too: of nine in ten requests small, the
    others many at once, many that are long, or on a connection of their own. They are asked in
    turn, in slices; a slice's latencies count from when its requests were due."""

    name: str
    title: str
    options: dict
    rate: int = 22000  # names; batches, which are what is answered, are 10,000
    seconds: float = 0.2
    sets: int = 2
    rounds: int = 6
    kind: str = field(default="mixed", init=False)
    load = "bench/load"
    service = "greeting"

    def command(self):
        return " ".join(map(str, measuring.load_command(
            self.load, ["ADDRESS..."], self.options | {"rate": self.rate})))

    def ask(self, context, servers, sets):
        options = self.options | {"paced-sets": sets, "rate": self.rate,
                                  "seconds": context.seconds or self.seconds}
        found, of_all = ask_in_turn(context.build / self.load, self.service, servers, options)
        return {name: figures(paced) | {"all_p999_us": of_all[name]}
                for name, (_, paced) in found.items()}

    def those_that_work(self, context):
        servers = context.without_peers() + context.peers_for(self.service)
        for server in servers[:]:
            try:
                watched(lambda server=server: self.ask(context, [server], 1))
            except Failure as failure:
                leave_out(server, failure)
                servers.remove(server)
        return servers

    def run(self, context):
        servers = self.those_that_work(context)
        group = Group(servers, context.rounds or self.rounds, 0, self.sets)
        print(f"{self.title}: {group.wanted} rounds of {self.sets} slices of "
              f"{context.seconds or self.seconds} s each, at {self.rate:,} a second\n", flush=True)
        while len(group.rounds) < group.wanted:
            group.add(watched(lambda: self.ask(context, group.in_order(), self.sets)))
        results = self.results(servers, group.rounds)
        for name, each in results["servers"].items():
            show(name, f"p50 {each['p50_us']:.0f} us, p99 {each['p99_us']:.0f}, p99.9 "
                       f"{each['p999_us']:.0f}, of all {each['all_p999_us']:.0f}; times {RAW} "
                       f"{stats.words(each['times'])}; keeps up: "
                       f"{each['keeps']:.2f}")
        print(flush=True)
        return results

    def results(self, servers, rounds):
        names = ("p50_us", "p99_us", "p999_us", "all_p999_us", "cpu_ns", "keeps")
        found = {}
        for server in servers:
            found[server.name] = about(server)
            found[server.name] |= {what: stats.middle(rounds, server.name, what) for what in names}
            found[server.name]["times"] = stats.summary(
                stats.ratios(rounds, server.name, RAW, "p999_us"))
        return {"rate": self.rate, "rounds": rounds, "servers": found}


def figures(slices):
    return {what: [max(each[what], 0.1) for each in slices]
            for what in ("p50_us", "p99_us", "p999_us")} | {
        "cpu_ns": for_each(slices, "cpu_ns", 1),
        "keeps": stats.one([each["per_second"] / each["rate"] for each in slices])}
