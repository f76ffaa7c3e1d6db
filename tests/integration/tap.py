# SPDX-License-Identifier: MIT
"""Prints results in TAP; end() is the exit status."""

count = failed = 0


def ok(good, sentence, why=""):
    global count, failed
    count += 1
    if not good:
        failed += 1
    print("%sok %d - %s" % ("" if good else "not ", count, sentence),
          flush=True)
    if not good:
        for line in str(why).splitlines():
            print("# " + line, flush=True)
    return good


def skip(sentence, why):
    global count
    count += 1
    print("ok %d - %s # SKIP %s" % (count, sentence, why), flush=True)


def end():
    print("1..%d" % count)
    return 1 if failed else 0
