#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a header of a gdb script: embed.py SCRIPT HEADER.

Included in a C file, it puts the script into the section `.debug_gdb_scripts`, from which gdb runs
it (GDB manual, "The .debug_gdb_scripts section"): an entry of kind 4 is a name, a newline, and the
text of a Python script, and ends with a zero byte.
"""

import os
import sys

FRAME = """\
/* SPDX-License-Identifier: MIT */
/* Made by {maker}. */
#pragma GCC diagnostic ignored "-Woverlength-strings"
__asm__(
    "    .pushsection .debug_gdb_scripts, \\"MS\\", %progbits, 1\\n"
    "    .byte 4\\n"
{lines}
    "    .byte 0\\n"
    "    .popsection\\n");
"""


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def directive(line):
    """A line of the script as a string for the assembler, in a string of C."""
    return '    "' + escaped(f'    .ascii "{escaped(line)}"\n') + '"'


def main(script, header):
    with open(script, encoding="ascii") as file:
        lines = [os.path.basename(script) + "\n", *file]
    with open(header, "w", encoding="ascii") as file:
        file.write(FRAME.format(maker=os.path.basename(__file__),
                                lines="\n".join(map(directive, lines))))


if __name__ == "__main__":
    main(*sys.argv[1:])
