# SPDX-License-Identifier: MIT
"""Measuring: networks, processes bound to cores, loads, system calls, memory, the machine."""

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 10  # seconds for what should take none

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def choose_cores():
    """(server's core, load's core), or None for both where there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


SERVER_CORE, LOAD_CORE = choose_cores()


# --- The network ----------------------------------------------------------------------------------


def unshare_as_user():
    """Where only root may have a network of its own: root's rights there, under the same number."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    for name, words in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"),
                        ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(words, encoding="ascii")
    return True


def fresh_network():
    """Moves this process, and what it starts from now on, to a network of its own, as if just
    started: no connection of before takes a port or a place in a table. False where it may not."""
    if libc.unshare(CLONE_NEWNET) != 0 and not unshare_as_user():
        return False
    with socket.socket() as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65535", encoding="ascii")
    return True


# --- Processes ------------------------------------------------------------------------------------


def prepare(core, group):
    """In the new process: bound to a core, in a group, and ended when this program ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if core is not None:
        os.sched_setaffinity(0, {core})
    if group is not None:
        group.join()


@contextlib.contextmanager
def started(command, core, target=None, group=None, stdin=subprocess.DEVNULL):
    """A process in a session of its own, so that Ctrl-C reaches it only through here; then ended.

    `target` tells which process to end, if it is not the one that was started.
    """
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stdin=stdin,
                               text=True, start_new_session=True,
                               preexec_fn=lambda: prepare(core, group))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(target(process) if target else process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if process.stdin:
            process.stdin.close()


def read_line(process, times=1):
    ready, _, _ = select.select([process.stdout], [], [], times * PATIENCE)
    return process.stdout.readline().strip() if ready else ""


@contextlib.contextmanager
def served(command, *, core=SERVER_CORE, target=None, group=None, address="tcp://127.0.0.1:0"):
    """A server, with `address`, where it says that it listens."""
    with started([*command, address], core, target, group) as process:
        line = read_line(process)
        if "listening on " not in line:
            raise Failure(f"{command[-1]} does not listen")
        process.address = line.split()[-1]
        yield process


def load_command(program, addresses, options):
    """A list among the options is one that is given several times."""
    command = [program, *addresses]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            command += [f"--{name}"] if each is True else [f"--{name}", each]
    return command


def output_of(process, seconds):
    """All that it writes, once it has ended; which takes so long where something is wrong."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{os.path.basename(process.args[0])} did not end in {seconds:.0f} "
                      "seconds") from late
    return output


def run_load(program, addresses, **options):
    """Gives what a load says of each of its slices, and at its end; whatever went wrong there is an
    error of the measurement."""
    slices = options.get("sets", 0) + options.get("paced-sets", 0)
    patience = len(addresses) * max(slices, 1) * options["seconds"] + 3 * PATIENCE
    with started(load_command(program, addresses, options), LOAD_CORE) as process:
        output = output_of(process, patience)
    lines = [json.loads(line) for line in output.splitlines()]
    if process.returncode != 0 or not lines or lines[-1].get("errors", 1):
        raise Failure(f"the load met {lines[-1]['errors'] if lines else 'many'} errors")
    return lines[:-1], lines[-1]


def run_one(program, address, **options):
    """The results of a load for one server, of which all is one slice."""
    slices, _ = run_load(program, [address], **options)
    return slices[0]


def run_json(program, *arguments, core=SERVER_CORE, seconds=0):
    """The JSON that a small program prints, which has the server's core to itself."""
    with started([program, *arguments], core) as process:
        output = output_of(process, 6 * PATIENCE + seconds)
    if process.returncode != 0:
        raise Failure(f"{program} ended with {process.returncode}")
    return json.loads(output)


# --- Who else uses the machine --------------------------------------------------------------------


now = time.monotonic


def busy_seconds():
    """What the two cores have done, for whomever; 0 where that is not told."""
    ticks = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields and fields[0] in (f"cpu{SERVER_CORE}", f"cpu{LOAD_CORE}"):
                user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
                ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """What this process and those that it started, and that have ended, have done."""
    used = 0.0
    for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF):
        usage = resource.getrusage(who)
        used += usage.ru_utime + usage.ru_stime
    return used


# --- System calls ---------------------------------------------------------------------------------

TRACE = ["strace", "-c", "-f", "-qq", "-I2", "-U", "calls,errors,name"]


def can_trace():
    return shutil.which("strace") is not None


def traced_child(strace):
    """The server that strace has started, or strace itself while there is none."""
    children = Path(f"/proc/{strace.pid}/task/{strace.pid}/children")
    with contextlib.suppress(OSError):
        pids = children.read_text(encoding="ascii").split()
        if pids:
            return int(pids[0])
    return strace.pid


def read_trace(text):
    """Gives {name: calls}, those that failed as `name, failed`."""
    counts = {}
    for line in text.splitlines():
        match = re.match(r"\s*(\d+)\s+(\d+)?\s+([a-z]\w*)$", line)
        if match and match[3] != "total":
            failed = int(match[2] or 0)
            counts[match[3]] = int(match[1]) - failed
            if failed:
                counts[f"{match[3]}, failed"] = failed
    return counts


def trace(server, load, options, seconds):
    """Gives the server's calls while a load lasted, and the load's requests."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trace"
        with served([*TRACE, "-o", log, *server], core=None, target=traced_child) as strace:
            results = run_one(load, strace.address, **options, seconds=seconds)
        return read_trace(log.read_text(encoding="ascii")), results["requests"]


def count_calls(server, load, options):
    """Gives {name: calls for each request}: of a long load without those of a short one, and with
    these all that a server does once, or once for each connection of the load. Under strace many
    connections may need a while until each had its turn."""
    short, few = trace(server, load, options, 0.1)
    for seconds in (0.5, 2, 8):
        long, many = trace(server, load, options, seconds)
        if many > 2 * few:
            break
    else:
        raise Failure(f"under strace there were {few} requests in 0.1 s, and {many} in {seconds} s")
    calls = {name: (count - short.get(name, 0)) / (many - few) for name, count in long.items()}
    return {name: count for name, count in sorted(calls.items(), key=lambda item: -item[1])
            if count >= 0.0005}


# --- Memory ---------------------------------------------------------------------------------------


def resident_bytes(pid):
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Rss:\s+(\d+)", rollup, re.M)[1]) * 1024


class MemoryGroup:
    """A memory control group, by which the kernel counts what it holds for the processes in it."""

    PLACES = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")  # version 1, version 2

    def __init__(self):
        self.folder = None
        for place in self.PLACES:
            folder = Path(place) / f"evert-bench-{os.getpid()}"
            with contextlib.suppress(OSError):
                folder.mkdir()
                self.folder = folder
                if self.kernel_bytes() is not None:
                    return
                self.close()

    def close(self):
        if self.folder:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        self.folder = None

    def join(self):
        if self.folder:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def kernel_bytes(self):
        """What the kernel holds for the processes, page tables with it; None where it is not told.
        """
        if not self.folder:
            return None
        with contextlib.suppress(OSError):
            return int((self.folder / "memory.kmem.usage_in_bytes").read_text(encoding="ascii"))
        with contextlib.suppress(OSError):
            stat = (self.folder / "memory.stat").read_text(encoding="ascii")
            match = re.search(r"^kernel (\d+)", stat, re.M)
            return int(match[1]) if match else None
        return None


# --- The machine ----------------------------------------------------------------------------------


def compiler(build):
    """What the programs of the build folder were compiled by, and how far it optimised."""
    program = (build / "bench/raw_epoll_server").read_bytes()
    found = re.search(rb"clang version [\d.]+|GCC: \([^)]*\) [\d.]+", program)
    options = json.loads((build / "meson-info/intro-buildoptions.json").read_text(encoding="utf-8"))
    level = next(each["value"] for each in options if each["name"] == "optimization")
    return f"{found[0].decode() if found else 'unknown'}, optimization {level}"


def machine(build, own_network):
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": int(memory[1]) * 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "system": system[1] if system else "unknown",
        "compiler": compiler(build),
        "load": os.getloadavg()[0],
        "server_core": SERVER_CORE,
        "load_core": LOAD_CORE,
        "own_network": own_network,
    }
