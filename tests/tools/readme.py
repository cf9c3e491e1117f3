#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that code shown in the documents is the code of the tested files, to the letter.

A block that follows `<!-- from PATH -->` consists of paragraphs of that file, in its order. Each C
block of the pages that show the examples is one of these, but for sketches, which are indented.
Links to files have to lead somewhere.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(os.environ.get("EVERT_SOURCE", Path(__file__).resolve().parent.parent.parent))
SHOWING = ["README.md", "docs/faces.md"]
C_BLOCK = re.compile(r"^```c$", re.M)
BLOCK = re.compile(r"<!-- from (\S+) -->\n+```c?\n(.*?)\n```", re.S)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def differs(shown, source):
    """The first shown paragraph that does not stand in the source after the one before it."""
    at = 0
    for paragraph in re.split(r"\n\n+", shown):
        found = source.find("\n" + paragraph + "\n", at)
        if found < 0:
            return paragraph.splitlines()[0]
        at = found + len(paragraph)
    return None


def main():
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    wrong, dead = [], []
    for document in documents:
        text = document.read_text()
        blocks = BLOCK.findall(text)
        for path, shown in blocks:
            line = differs(shown, "\n" + (ROOT / path).read_text())
            if line is not None:
                wrong.append(f"# {document.name}: not in {path}: {line}")
        if str(document.relative_to(ROOT)) in SHOWING:
            if not 0 < len(blocks) == len(C_BLOCK.findall(text)):
                wrong.append(f"# {document.name}: not each C block says from which file it is")
        dead += [f"# {document.name}: no file {link}" for link in LINK.findall(text)
                 if not (document.parent / link).exists()]
    for line in wrong + dead:
        print(line)
    print(("not ok" if wrong else "ok") + " - code in the documents is that of the tested files")
    print(("not ok" if dead else "ok") + " - links between the documents lead somewhere")
    return 1 if wrong or dead else 0


if __name__ == "__main__":
    sys.exit(main())
