#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The manual pages tell of what the programs know, and of nothing else; what
README.md names is there.

Environment: BUILD.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

import tap
from xswire import Client

ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../../"
BUILD = os.environ["BUILD"] + "/"


def source(name):
    with open(ROOT + name) as f:
        return f.read()


def section(roff, name):
    return roff[roff.index(".SH %s\n" % name):].split("\n.SH ")[0]


def plain(roff):
    """Without what is there for the typesetter."""
    text = re.sub(r"\\f[BIRP]|\"", "", roff).replace(r"\-", "-")
    return re.sub(r"^\.[A-Z]+ ?", "", text, flags=re.M)


def tags(roff):
    """The first word of each tagged paragraph."""
    return [plain(tag).split()[0].rstrip(",")
            for tag in re.findall(r"^\.TP\n(.*)", roff, re.M)]


def long_options(text):
    return re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text)


def lettered_options(text):
    """"v verbose" and so on."""
    return [" ".join(pair) for pair in
            re.findall(r"(?<![\w-])-(\w)[ ,]+--([a-z-]+)", text)]


def same(program, page, sentence):
    """What one side has and the other has not is told."""
    program, page = set(program), set(page)
    tap.ok(program == page and page, sentence,
           "not in the page: %s\nonly in the page: %s" %
           (sorted(program - page), sorted(page - program)))


def control_help():
    """The daemon's own list of its control commands."""
    with tempfile.TemporaryDirectory() as tmp:
        env = {**os.environ, "XENSTORED_RUNDIR": tmp}
        env.pop("XENSTORED_PATH", None)
        daemon = subprocess.Popen(
            [BUILD + "xenstored", "-N", "--xenport", "none"], env=env,
            stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                if os.path.exists(tmp + "/socket"):
                    break
                time.sleep(0.05)
            return Client(tmp + "/socket").call("CONTROL", b"help\0").decode()
        finally:
            daemon.terminate()
            daemon.wait()


def daemon():
    roff = source("xenstored/xenstored.8")
    options = plain(section(roff, "OPTIONS"))
    explained = options[:options.index("\nThe options\n")]
    table = source("xenstored/options.c")
    table = re.findall(r"\bX\(('.'|\w+),\s*\"([a-z-]+)\"", table)
    said = subprocess.run([BUILD + "xenstored", "--help"], check=True,
                          capture_output=True, text=True).stderr
    same((name for _, name in table), long_options(options),
         "xenstored(8) has the options that the daemon takes")
    same(("%s %s" % (letter.strip("'"), name) for letter, name in table
          if letter[0] == "'"), lettered_options(options),
         "... and their letters")
    same(re.findall(r"^  (?:-\w, |    )--([a-z-]+)", said, re.M),
         long_options(explained), "... and explains those that --help does")
    same(re.findall(r"^([a-z][a-z-]*)", control_help(), re.M),
         tags(section(roff, "CONTROL COMMANDS")),
         "... and has the control commands that help lists")


def tools():
    roff = source("xenstore-tools/xenstore.1")
    code = source("xenstore-tools/xenstore.c")
    modes = re.findall(r"^\t\{ \"([a-z]+)\", \"([a-zA-Z]*)\", \"", code, re.M)
    same((name for name, _ in modes), tags(section(roff, "MODES")),
         "xenstore(1) has the modes that the tool knows")
    options = plain(section(roff, "OPTIONS"))
    same(re.findall(r"^\t\{ \"([a-z]+)\", \w+_argument", code, re.M),
         long_options(options), "... and the long options")
    same("".join(letters for _, letters in modes) + "hs",
         re.findall(r"(?<![\w-])-(\w)\b", options),
         "... and the letters")
    roff = source("xenstore-tools/xenstore-control.8")
    code = source("xenstore-tools/xenstore-control.c")
    same(re.findall(r"strcmp\(\*arg, \"-(\w)\"\)", code),
         re.findall(r"(?<![\w-])-(\w)\b",
                    plain(section(roff, '"LIVE UPDATE"'))),
         "xenstore-control(8) has the options of a live update")


def library():
    roff = plain(source("libxenstore/libxenstore.3"))
    symbols = source("tests/abi/libxenstore.symbols")
    symbols = re.findall(r"^(\w+) ", symbols, re.M)
    named = set(re.findall(r"\b(xs_\w+)\s*\(", roff))
    tap.ok(named and named <= set(symbols),
           "libxenstore(3) has no function that the library lacks",
           sorted(named - set(symbols)))


def vmm():
    roff = plain(source("xenstored/xenstored-vmm.7"))
    names = re.findall(r"\bXENSTORE_VMM_([A-Z]+)\b",
                       source("include/xenstore_vmm.h"))
    missing = [n for n in names if n not in ("H",) and n not in roff]
    tap.ok(names and not missing,
           "xenstored-vmm(7) has all that its header defines", missing)


def readme():
    text = source("README.md")
    targets = set(re.findall(r"^([a-z-]+):", source("Makefile"), re.M))
    named = set(re.findall(r"\bmake ((?!git)[a-z-]+)\b(?=[`. ]|$)",
                           "\n".join(re.findall(r"^    make.*|`make[^`]*`",
                                                text, re.M)), re.M))
    tap.ok(named and named <= targets, "README.md names targets that exist",
           sorted(named - targets))
    code = {}
    for top, _, names in os.walk(ROOT + "xenstored"):
        for name in names:
            if name.endswith((".c", ".h")):
                path = os.path.join(top, name)
                code[os.path.relpath(path, ROOT + "xenstored")] = \
                    source(os.path.relpath(path, ROOT))
    files = re.findall(r"`((?:\w+/)?\w+\.[ch])`", text)
    missing = [f for f in files if f not in code and "op/" + f not in code]
    missing += [f for f in re.findall(r"`(\w+)\(\)`", text)
                if not any(f + "(" in c for c in code.values())]
    tap.ok(files and not missing, "... and files and functions that do",
           missing)


readme()
daemon()
tools()
library()
vmm()
sys.exit(tap.end())
