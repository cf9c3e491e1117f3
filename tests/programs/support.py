# SPDX-License-Identifier: MIT
"""What the tests of programs share: cases, processes under test, conversations on raw sockets.

Everything has a limit in time, and every process is ended by its number, also when a test fails.
"""

import contextlib
import ctypes
import errno
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from urllib.parse import urlsplit

# How long, in seconds, anything may take that should happen at once; and a whole case.
LIMIT = 10
CASE_LIMIT = 50

BUILD = os.environ["EVERT_BUILD"]
SOURCE = os.environ["EVERT_SOURCE"]

sys.path.insert(0, os.path.join(SOURCE, "tests/tools"))
import network  # noqa: E402  (what the runner of the tests does for each of them, too)

# Debian's own Python, where there is one: another one on PATH may lack the modules it serves.
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable

MEBIBYTE = 1 << 20


class Failed(Exception):
    """What was expected, and what came instead."""


# ---- Cases ----


class Cases:
    """
    Runs functions as the cases of a test, and prints a TAP line for each. EVERT_CASE names the one
    to run, with underscores for spaces; EVERT_LEAVE_OUT those that cannot hold on this machine:
    tests/tools/machines.py says which and why.
    """

    def __init__(self):
        self.failed = False
        self.only = os.environ.get("EVERT_CASE")
        self.left_out = os.environ.get("EVERT_LEAVE_OUT", "").split()
        signal.signal(signal.SIGALRM, self.took_too_long)

    @staticmethod
    def took_too_long(*_):
        raise Failed(f"expected the case to end within {CASE_LIMIT} s")

    def run(self, name, function, *arguments):
        word = name.replace(" ", "_")
        if self.only not in (None, word) or word in self.left_out:
            return
        signal.alarm(CASE_LIMIT)
        try:
            function(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.failed = True
            explain(error)
            print(f"not ok - {name}", flush=True)
        else:
            print(f"ok - {name}", flush=True)
        finally:
            signal.alarm(0)

    def exit(self):
        sys.exit(1 if self.failed else 0)


def words_of(function):
    return function.__name__.replace("_", " ")


def explain(error):
    comment("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    seed = os.environ.get("EVERT_SEED", "not set")
    comment(f"back end: {os.environ.get('EVERT_BACKEND', 'not set')}, EVERT_SEED: {seed}")


def comment(text):
    for line in text.splitlines():
        print(f"# {line}", flush=True)


def expect(what, expected, came):
    if expected != came:
        raise Failed(f"{what}: expected {shown(expected)}, got {shown(came)}"
                     + first_difference(expected, came))


def shown(value):
    if isinstance(value, (bytes, bytearray)) and len(value) > 200:
        return f"{len(value)} bytes {bytes(value[:80])!r}...{bytes(value[-80:])!r}"
    return repr(value)


def first_difference(expected, came):
    if not isinstance(expected, (bytes, bytearray)) or not isinstance(came, (bytes, bytearray)):
        return ""
    at = len(os.path.commonprefix([bytes(expected), bytes(came)]))
    return f", different from byte {at} on: {bytes(came[at:at + 40])!r}"


def wait_until(what, reached, limit=LIMIT):
    """Waits until reached() gives something true."""
    end = time.monotonic() + limit
    while not reached():
        if time.monotonic() > end:
            raise Failed(f"expected {what} within {limit} s")
        time.sleep(0.005)


# ---- The machine ----


def own_network():
    """As network.own() says; where that is not allowed it says so, and goes on with the
    machine's."""
    if not network.own() and not network.own(network.CLONE_NEWUSER):
        comment(f"no network of its own: {os.strerror(ctypes.get_errno())}")


def raise_descriptor_limit():
    """Gives how many descriptors a process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# The words of another C library than Python's own, which EVERT_C_LIBRARY names.
WORDS = {
    "musl": {
        errno.EADDRINUSE: "Address in use",
        errno.EMFILE: "No file descriptors available",
        errno.ENAMETOOLONG: "Filename too long",
        errno.ENOMEM: "Out of memory",
        errno.ESPIPE: "Invalid seek",
    },
}


def words_of_error(number):
    """What the programs under test say for an error number."""
    return WORDS.get(os.environ.get("EVERT_C_LIBRARY"), {}).get(number, os.strerror(number))


# ---- Processes ----


def built(path):
    """The command of a program in the build folder, with the emulator that it may need."""
    return [*os.environ.get("EVERT_WRAPPER", "").split(), os.path.join(BUILD, path)]


def example(path):
    return built(os.path.join("examples", path))


def foreign(name):
    """The command of one of the peers that know nothing of Evert."""
    return [PYTHON, "-B", os.path.join(SOURCE, "tests/programs", name)]


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name stands in brackets and may hold anything, so read on from the last one.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def children_of(pid):
    """Gives (pid, start time) of each; the time tells it from a later one of the same number."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(entry)
        if fields is not None and int(fields[1]) == pid:
            found.append((int(entry), fields[19]))
    return found


def is_alive(child):
    pid, start = child
    fields = stat_fields(pid)
    return fields is not None and fields[19] == start and fields[0] not in (b"Z", b"X")


def resident_bytes(pid):
    """Of the process and its children; what they share counts once."""
    total = 0
    for each in [pid] + [child for child, _ in children_of(pid)]:
        with contextlib.suppress(OSError), open(f"/proc/{each}/smaps_rollup", "rb") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
    return total


class Process:
    """A program under test. When the `with` block is left, no process of it is."""

    def __init__(self, command, *arguments, **options):
        self.name = os.path.basename(command[-1]).removesuffix(".py")
        with contextlib.ExitStack() as stack:
            self.out = stack.enter_context(tempfile.TemporaryFile())
            self.err = stack.enter_context(tempfile.TemporaryFile())
            self.process = subprocess.Popen([*command, *arguments], stdout=self.out,
                                            stderr=self.err,
                                            **{"stdin": subprocess.DEVNULL} | options)
            self.files = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.process.poll()
        self.kill()
        with self.files:
            if kind is not None:
                self.describe(status)

    @property
    def pid(self):
        return self.process.pid

    def stdout(self):
        return os.pread(self.out.fileno(), MEBIBYTE, 0)

    def stderr(self):
        return os.pread(self.err.fileno(), MEBIBYTE, 0).decode(errors="replace")

    def describe(self, status):
        comment(f"{self}: {'still running' if status is None else f'status {status}'}, "
                "said on stderr:")
        comment(self.stderr()[-4000:])

    def __str__(self):
        return f"{self.name} (process {self.pid})"

    def kill(self):
        children = children_of(self.pid) if self.process.poll() is None else []
        self.process.kill()
        self.process.wait(LIMIT)
        for child in filter(is_alive, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child[0], signal.SIGKILL)

    def wait(self, limit=LIMIT):
        """Gives the status that it ends with."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"expected {self} to end within {limit} s") from None

    def expect_status(self, status, limit=LIMIT):
        try:
            expect(f"status of {self}", status, self.wait(limit))
        except Failed:
            self.describe(self.process.poll())
            raise


class Server(Process):
    """A server under test, started by `with`; `address` is where it says that it listens."""

    def __init__(self, command, address="tcp://127.0.0.1:0", **options):
        super().__init__(command, address, **options)
        self.address = address
        try:
            self.address = self.read_address()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __str__(self):
        return f"{self.name} on {self.address} (process {self.pid})"

    def read_address(self):
        wait_until("the server's address or its end",
                   lambda: b"\n" in self.stdout() or self.process.poll() is not None)
        words, _, address = self.stdout().decode().partition("\n")[0].rpartition(" ")
        expect("first words of the server", "listening on", words)
        return address

    def stop(self, number=signal.SIGTERM, status=0, limit=LIMIT):
        self.tell(number)
        self.expect_end(status, limit)

    def tell(self, number):
        self.children = children_of(self.pid)
        self.process.send_signal(number)

    def expect_end(self, status=0, limit=LIMIT):
        """After tell(): it ends, and leaves neither a child nor the file of a socket."""
        self.expect_status(status, limit)
        left = list(filter(is_alive, self.children))
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        expect("children left behind", [], left)
        if self.address.startswith("unix://"):
            expect("the socket's file is left", False, os.path.lexists(self.address[7:]))

    def descriptors(self):
        return sorted(os.listdir(f"/proc/{self.pid}/fd"), key=int)

    def cpu_seconds(self):
        fields = stat_fields(self.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- Conversations ----


def connect(address, receive_buffer=None):
    url = urlsplit(address)
    family = socket.AF_INET6 if ":" in (url.hostname or "") else socket.AF_INET
    if url.scheme == "unix":
        family = socket.AF_UNIX
    sock = socket.socket(family)
    sock.settimeout(LIMIT)
    try:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if url.scheme == "unix":
            sock.connect(url.path)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((url.hostname, url.port))
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def connections(address, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(address)) for _ in range(count)]


def widen(sock):
    """
    After a receive_buffer: makes it large, before what was held back is read. A little window may
    else be just too small for a segment, and is then only used whenever the sender's timer asks.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MEBIBYTE)


def reset(sock):
    """Closes it so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def receive(sock, size):
    """Gives `size` bytes, fewer only at the end; an error names what had come."""
    came = bytearray()
    while len(came) < size:
        try:
            chunk = sock.recv(min(size - len(came), 65536))
        except OSError as error:
            raise Failed(f"expected {size} bytes or the end, got {shown(came)}, "
                         f"then {error!r}") from error
        if not chunk:
            break
        came += chunk
    return bytes(came)


def expect_answer(sock, answer):
    expect("answer", answer, receive(sock, len(answer)))


def expect_end(sock):
    expect("after the answer, the end", b"", receive(sock, 1))


def converse(sock, sent, answer):
    sock.sendall(sent)
    expect_answer(sock, answer)


def last_words(sock, sent, answer):
    """Sends it and the end in one piece, as far as can be: the answer comes, then the end."""
    sock.sendall(sent)
    sock.shutdown(socket.SHUT_WR)
    expect_answer(sock, answer)
    expect_end(sock)


def exchange(sock, data, answer_size):
    """Sends and receives at the same time. Gives what came."""
    came = bytearray()
    rest = memoryview(data)
    sock.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        while rest or len(came) < answer_size:
            selector.modify(sock, (selectors.EVENT_WRITE if rest else 0) |
                            (selectors.EVENT_READ if len(came) < answer_size else 0))
            ready = sum(events for _, events in selector.select(LIMIT))
            if not ready:
                raise Failed(f"expected {answer_size} bytes, got {len(came)}, then nothing for "
                             f"{LIMIT} s; {len(rest)} bytes were still to be sent")
            if ready & selectors.EVENT_READ:
                chunk = sock.recv(min(MEBIBYTE, answer_size - len(came)))
                if not chunk:
                    break
                came += chunk
            if ready & selectors.EVENT_WRITE:
                rest = rest[sock.send(rest[:MEBIBYTE]):]
    sock.settimeout(LIMIT)
    return bytes(came)


def send_until_blocked(sock, data, most):
    """Sends `data` again and again until the peer takes no more. Gives how many bytes it took."""
    sent = 0
    again = memoryview(data * 2)
    sock.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while sent <= most:
            start = sent % len(data)
            sent += sock.send(again[start:start + len(data)])
    sock.settimeout(LIMIT)
    if sent > most:
        raise Failed(f"expected to be held back before {most} bytes, but {sent} were taken")
    return sent
