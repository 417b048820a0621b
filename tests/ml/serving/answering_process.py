"""A server in the small, for the tests that kill it: answers a line on stdin once what it answers is in the journal.

A line is the number of its first row and how many rows it has; the answer is the same line.
"""

import os
import sys
import time
from pathlib import Path

from ml.serving.journal import Journal, Limits
from ml.serving.rows import Answers, Rows


def main(root: Path, segment_bytes: int) -> None:
    journal = Journal(root, Limits(segment_bytes=segment_bytes))
    shadowed = Rows({"income": [0.5]}, ["s"])
    for line in sys.stdin:
        first, count = map(int, line.split())
        ids = [f"p{k}" for k in range(first, first + count)]
        rows = Rows({"income": [float(k) for k in range(first, first + count)], "region": ["north"] * count}, ids)
        journal.record("loans", "champion", "1", rows, Answers(["1"] * count, [0.25] * count), 0.001, time.time())
        if first % 3 == 0:
            shadowed = Rows({name: values[:1] for name, values in rows.columns.items()}, ids[:1])
            journal.record("loans", "shadow", "2", shadowed, Answers(["0"], [0.75]), 0.001, time.time())
        os.write(1, line.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
