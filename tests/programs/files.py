#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The program that counts words, at files of every kind."""

import errno
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import support  # noqa: E402  (it must not leave compiled files among the sources)
from support import expect  # noqa: E402

PROGRAM = support.example("files/count_words")


def count(*paths):
    return subprocess.run([*PROGRAM, *paths], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=support.CASE_LIMIT, check=False)


def counts_the_words_of_many_files_at_once():
    with tempfile.TemporaryDirectory() as folder:
        paths, wanted = [], ""
        for i in range(100):
            paths.append(os.path.join(folder, str(i)))
            with open(paths[-1], "w", encoding="ascii") as file:
                file.write("one  two\n three" * (i * i * 7))
            words = 2 * i * i * 7 + 1 if i else 0  # where two pieces meet there is one word
            wanted += f"{words} {paths[-1]}\n"
        done = count(*paths)
        expect("counts", wanted, done.stdout)
        expect("status", 0, done.returncode)


def reads_what_the_kernel_makes_up():
    done = count("/proc/self/cmdline", "/dev/null", "/proc/version")
    expect("status", 0, done.returncode)
    with open("/proc/version", encoding="utf-8") as file:
        expect("the last line", f"{len(file.read().split())} /proc/version",
               done.stdout.splitlines()[-1])


def says_which_file_it_could_not_read():
    for path, words in (("/nowhere", "open /nowhere: No such file or directory"),
                        ("/dev", "read descriptor ")):
        done = count("/dev/null", path)
        expect("status", 1, done.returncode)
        expect("output", "", done.stdout)
        expect("words", True, done.stderr.startswith(f"count_words: {words}"))


def does_not_wait_for_the_other_end_of_a_fifo():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "fifo")
        os.mkfifo(path)
        words = f": {support.words_of_error(errno.ESPIPE)}"
        expect("words", True, count(path).stderr.rstrip().endswith(words))


def main():
    cases = support.Cases()
    for case in (counts_the_words_of_many_files_at_once, reads_what_the_kernel_makes_up,
                 says_which_file_it_could_not_read, does_not_wait_for_the_other_end_of_a_fifo):
        cases.run(support.words_of(case), case)
    cases.exit()


if __name__ == "__main__":
    main()
