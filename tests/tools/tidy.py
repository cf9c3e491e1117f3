#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the rules on the text of the sources. Prints TAP lines.

Every source and script says its licence, has lines of at most 100 columns and no trailing spaces;
C files have no tabs; a file in src/ stays under 600 lines. In src/, system calls go through
base/sys*.c, where tests can make them fail, and memory through base/alloc.c, where programs put
their own allocator; both lists have their exceptions below. Spelling is checked by codespell.
"""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

MAX_COLUMNS = 100
MAX_LINES = 600

C_ENDINGS = (".c", ".h", ".S")
SOURCE_ENDINGS = C_ENDINGS + (".py", ".sh", ".build", ".txt")
TEXT_ENDINGS = SOURCE_ENDINGS + (".md",)
# Scripts and the like whose names have no ending.
PLAIN_NAMES = {"Makefile", "run", "ledger", "analyze", "bootstrap", "demo"}

SYSTEM_CALLS = """
    accept accept4 bind close connect getpeername getsockname getsockopt listen recv recvfrom
    recvmsg recvmmsg send sendmsg sendmmsg sendto setsockopt shutdown socket socketpair
    read readv pread preadv write writev pwrite pwritev open openat fcntl ioctl dup dup2 dup3
    pipe pipe2 fopen stat fstat lstat fstatfs statx unlink unlinkat rename renameat fsync fdatasync
    sendfile splice preadv2 pwritev2 posix_fadvise
    epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select
    pselect eventfd timerfd_create timerfd_settime signalfd
    mmap munmap mremap mprotect madvise mlock getrlimit
    sigaction sigaltstack sigprocmask pthread_sigmask pthread_create pthread_kill kill raise
    sigtimedwait
    fork vfork execve waitpid waitid
    clock_gettime clock_nanosleep nanosleep gettimeofday
    getaddrinfo getnameinfo getrandom syscall evert__bare
""".split()

MEMORY_CALLS = ("malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf "
                "aligned_alloc posix_memalign").split()

# Where system calls stand.
SEAM = ("src/base/sys.c", "src/base/sys_file.c", "src/base/sys_uring.c", "src/base/sys_flat.h",
        "src/base/bare.h")

# Where a call may stand all the same: {(file, call): why}.
EXCEPTIONS = {
}


def files():
    """Gives the path of each file of the project, without what builds left."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name for name in folders
            if (not name.startswith(".") or name == ".ci")
            and name not in ("build", "__pycache__")
            and not os.path.isdir(os.path.join(folder, name, "meson-private")))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def is_plain(path):
    return os.path.basename(path) in PLAIN_NAMES


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


# Comments, strings and characters, in the order that makes each hide the others.
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def code_of(text):
    """Blanks comments and strings; lines keep their numbers."""
    return NOT_CODE.sub(lambda match: "\n" * match[0].count("\n") or " ", text)


def sources():
    return [path for path in files() if path.endswith(SOURCE_ENDINGS) or is_plain(path)]


def src_files():
    return [path for path in files() if path.startswith("src/") and path.endswith((".c", ".h"))]


def check_licence():
    for path in sources():
        head = "\n".join(read(path).splitlines()[:3])
        if path.endswith(C_ENDINGS):
            wanted = "/* SPDX-License-Identifier: MIT */"
        else:
            wanted = "# SPDX-License-Identifier: MIT"
        if wanted not in head:
            yield f"{path}: does not begin with {wanted}"


def check_columns():
    for path in sources():
        if str(path).endswith("tests/ledger"):
            continue  # a table, a rule to a line
        for number, line in enumerate(read(path).splitlines(), 1):
            if len(line) > MAX_COLUMNS:
                yield f"{path}:{number}: {len(line)} columns"


def check_spaces():
    for path in files():
        if not (path.endswith(TEXT_ENDINGS) or is_plain(path)):
            continue
        text = read(path)
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield f"{path}:{number}: trailing space"
        if text and not text.endswith("\n"):
            yield f"{path}: the last line does not end"


def check_tabs():
    for path in files():
        if path.endswith((".c", ".h")):
            for number, line in enumerate(read(path).splitlines(), 1):
                if "\t" in line:
                    yield f"{path}:{number}: tab"


def check_length():
    for path in files():
        if path.startswith("src/") and path.endswith(C_ENDINGS):
            lines = read(path).count("\n")
            if lines > MAX_LINES:
                yield f"{path}: {lines} lines; a file has one subject"


def check_calls(names, homes, advice):
    # Not after a letter, `_`, `.` or `->`: evert__sys_close() and table->close() are fine.
    call = re.compile(r"(?<![\w.])(?<!->)(" + "|".join(names) + r")\s*\(")
    for path in src_files():
        if path in homes or path.replace(".h", ".c") in homes:
            continue
        for number, line in enumerate(code_of(read(path)).splitlines(), 1):
            for match in call.finditer(line):
                if (path, match[1]) not in EXCEPTIONS:
                    yield f"{path}:{number}: {match[1]}(): {advice}"


def check_exceptions():
    for path, name in EXCEPTIONS:
        full = os.path.join(ROOT, path)
        if not os.path.exists(full) or not re.search(rf"\b{name}\s*\(", code_of(read(path))):
            yield f"{path}: the exception for {name}() is not needed any more"


def check_spelling():
    folders = [name for name in ("src", "include", "examples", "bench", "tests", "fuzz", "tools",
                                 "docs") if os.path.isdir(os.path.join(ROOT, name))]
    pages = [name for name in os.listdir(ROOT) if name.endswith(".md")]
    done = subprocess.run(["codespell", "--quiet-level=2", "--skip=fuzz/seeds", *folders, *pages],
                          cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.stdout.splitlines() if done.returncode else []


def main():
    failed = False

    def report(name, problems):
        nonlocal failed
        problems = list(problems)
        for problem in problems:
            print(f"# {problem}")
        print(f"not ok - {name}" if problems else f"ok - {name}")
        failed = failed or bool(problems)

    report("sources say their licence", check_licence())
    report(f"lines have at most {MAX_COLUMNS} columns", check_columns())
    report("no trailing spaces", check_spaces())
    report("no tabs in C files", check_tabs())
    report(f"files in src have at most {MAX_LINES} lines", check_length())
    report("system calls go through base/sys.c",
           check_calls(SYSTEM_CALLS, SEAM,
                       "goes through evert__sys_*"))
    report("memory goes through base/alloc.c",
           check_calls(MEMORY_CALLS, ("src/base/alloc.c",), "goes through base/alloc.h"))
    report("each exception is needed", check_exceptions())
    if shutil.which("codespell"):
        report("spelling", check_spelling())
    else:
        print("ok - spelling # SKIP there is no codespell")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
