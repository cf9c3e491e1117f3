# SPDX-License-Identifier: MIT
"""What all rows share: who is measured, what is set aside, and what a bound is said to be."""

import measuring
from measuring import Failure

MOST_OTHERS = 0.1       # of the two cores, for what else the machine does
LEAST_CLEAN = 0.5       # of the sets of slices, in which nobody waited for a core
MOST_DISTURBED = 0.1    # of the rounds; more, and they decide nothing
LEAST_HELD = 0.98       # of a rate that a server is to keep up with
RATE_SHARE = 0.5        # of what the slowest server can do: the rate at which CPU time is measured


def show(name, text):
    print(f"    {name:<26} {text}", flush=True)


def two_digits(value):
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else max(1, int(value))


def about(server):
    return {"raw": server.raw, "peer": server.peer}


class Context:
    """What all rows are given: the build folder, who is measured, and, where they are not as suit
    the row, how many rounds of how many seconds."""

    def __init__(self, build, servers, rounds=None, seconds=None):
        self.build, self.servers, self.rounds, self.seconds = build, servers, rounds, seconds

    def of_evert(self):
        return [server for server in self.servers if server.raw]

    def without_peers(self):
        return [server for server in self.servers if not server.peer]

    def peers_for(self, service):
        return [server for server in self.servers if server.peer and service in server.programs]

    def server(self, name):
        return next(server for server in self.servers if server.name == name)

    def rounds_of(self, measure, count):
        """Gives so many rounds, each {name: measurement}, of servers one right after the other in
        an order that changes. A round that was disturbed is set aside and measured again; not for
        ever, though."""
        rounds, again, servers = [], count // 2, self.without_peers()
        while len(rounds) < count:
            turn = (len(rounds) + again) % len(servers)
            measured, _ = measure_each(measure, servers[turn:] + servers[:turn])
            if again > 0 and is_disturbed([measured]):
                again -= 1
            else:
                rounds.append(measured)
        return rounds


def measure_each(measure, servers):
    """Gives {name: measurement}, and which servers failed, as peers may: they are left out."""
    measured, failed = {}, []
    for server in servers:
        try:
            measured |= watched(lambda server=server: {server.name: measure(server)})
        except Failure as failure:
            leave_out(server, failure)
            failed.append(server)
    return measured, failed


def leave_out(server, failure):
    """Of peers alone."""
    if not server.peer:
        raise failure
    print(f"    {server.name} is left out: {failure}", flush=True)


def watched(measure):
    """{name: measurement}, each with what others had of the two cores meanwhile."""
    measuring.fresh_network()
    began, busy = measuring.now(), measuring.busy_seconds() - measuring.own_seconds()
    measured = measure()
    busy = measuring.busy_seconds() - measuring.own_seconds() - busy
    for each in measured.values():
        each["others"] = max(0.0, busy / (measuring.now() - began) / 2)
    return measured


def is_disturbed(rounds):
    """Whether others had much of the machine, and left too little undisturbed, or a server did not
    keep up with its rate."""
    return any(each["others"] > MOST_OTHERS and each.get("clean", 0) < LEAST_CLEAN
               or each.get("held", 1) < LEAST_HELD
               for measured in rounds for each in measured.values())


def is_busy(rounds):
    """Whether so many of them were disturbed that nothing is to be decided by them."""
    return sum(is_disturbed([each]) for each in rounds) > MOST_DISTURBED * len(rounds)
