#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The demonstration: what it shows when all is well, and what when a program is broken."""

import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import expect  # noqa: E402

DEMO = os.path.join(support.SOURCE, "tools/demo")
SERVERS = ("process_server", "thread_server", "callback_server", "coroutine_server", "mixed_server")
STYLES = 8
LIMIT = 45  # seconds

# A row of the table: what the style is called, two counts of lines, whether it works, and for a
# server what it serves a second and what an idle connection holds.
ROW = re.compile(r"^\S.*?  +(\d+|-) +(\d+|-) +(yes|no) +([\d,]+|-) +([\d.,]+ KiB|-)$", re.M)


def demonstrate(build):
    return subprocess.run([support.PYTHON, DEMO, build, "0.05"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LIMIT, check=False)


def shows_every_style_at_work():
    done = demonstrate(support.BUILD)
    expect("status and complaints", (0, ""), (done.returncode, done.stderr))
    rows = ROW.findall(done.stdout)
    expect("works?", ["yes"] * STYLES, [row[2] for row in rows])
    with_server = [row for row in rows if row[0] != "-"]
    expect("servers that were measured", len(SERVERS), len(with_server))
    for row in with_server:
        expect(f"speed and memory of {row}", False, "-" in row[3:] or "0" in row[3:])
    expect("of many protocols", 1, done.stdout.count("works? yes; talked to itself: "))


def broken_copy(folder, *broken):
    """A build folder with links to what is shown; what is broken ends at once, and says nothing."""
    for path in ("examples/greeting", "examples/many", "bench"):
        os.makedirs(os.path.join(folder, path))
        for name in os.listdir(os.path.join(support.BUILD, path)):
            target = "/bin/true" if name in broken else os.path.join(support.BUILD, path, name)
            os.symlink(target, os.path.join(folder, path, name))
    return folder


def says_what_does_not_work():
    with tempfile.TemporaryDirectory() as folder:
        done = demonstrate(broken_copy(folder, "coroutine_server", "callback_client"))
    expect("status", 1, done.returncode)
    works = {line.split("  ")[0]: row for line in done.stdout.splitlines()
             for row in ROW.findall(line)}
    expect("works?", ("no", "no", "yes"),
           tuple(works[style][2] for style in ("coroutines", "callbacks", "inline callbacks")))
    expect("what was measured of it", ("-", "-"), works["coroutines"][3:])
    for words in ("coroutine_server: ended too soon", "callback_server and callback_client: "):
        expect(f"complaint {words!r}", True, words in done.stderr)


def says_what_is_not_built():
    with tempfile.TemporaryDirectory() as folder:
        done = demonstrate(folder)
    expect("status", 1, done.returncode)
    expect("complaints", True, done.stderr.startswith("not built: "))


def main():
    cases = support.Cases()
    for case in (shows_every_style_at_work, says_what_does_not_work, says_what_is_not_built):
        cases.run(support.words_of(case), case)
    cases.exit()


if __name__ == "__main__":
    main()
