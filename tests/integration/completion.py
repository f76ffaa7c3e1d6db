#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Completion in bash, with the built tools, on a daemon with a known store.

Environment: BUILD.
"""
import os
import pty
import select
import subprocess
import sys
import tempfile
import time

import tap
from xswire import Scripted

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "../../xenstore-tools/xenstore.bash")
STORE = {b"/local": b"", b"/local/domain": b"", b"/local/domain/0": b"",
         b"/local/domain/7": b"", b"/local/domain/7/name": b"guest",
         b"/local/domain/7/data": b"", b"/tool": b"", b"/t": b"",
         b"/t/at@x": b"", b"/t/at@y": b"", b"/t/at@y/z": b""}

# As bash sets them: words are also cut at @.
ASK = r'''
. "$1"
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$' \t\n"\'@><=;|&(:'
read -ra COMP_WORDS <<<"$2"
[[ $2 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
spec=$(complete -p "${COMP_WORDS[0]##*/}") || exit 1
set -- $spec
"$3"
for word in "${COMPREPLY[@]}"; do printf '%s\n' "$word"; done
'''


def complete(env, line):
    p = subprocess.run(["bash", "--norc", "-c", ASK, "ask", FILE, line],
                       env=env, capture_output=True, timeout=20)
    if p.stderr:
        return p.stderr
    return sorted(p.stdout.decode().splitlines())


def type_keys(env, keys, until):
    """Types into an interactive bash; whether `until` appears."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"],
                   {**env, "TERM": "dumb", "PS1": "$ ",
                    "INPUTRC": "/dev/null"})
    os.write(fd, b". '%s'\n" % FILE.encode())
    seen, end, typed = b"", time.monotonic() + 30, False
    while time.monotonic() < end and until not in seen:
        if select.select([fd], [], [], 0.2)[0]:
            seen += os.read(fd, 4096)
        elif not typed:
            os.write(fd, keys)
            typed = True
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return until in seen, seen


def ordinary(env):
    def gives(line, *expected):
        got = complete(env, line)
        tap.ok(got == sorted(expected), "%r gives %d words" %
               (line, len(expected)), "got %r" % (got,))

    gives("xenstore ", "chmod", "devices", "dump", "exists", "follow",
          "list", "load", "ls", "read", "rm", "top", "watch", "write")
    gives("xenstore re", "read")
    gives("xenstore nonsense /")
    gives("xenstore-read ", "/")
    gives("xenstore-read /", "/local", "/tool", "/t")
    gives("xenstore-read /lo", "/local/")
    gives("xenstore-read /local/domain/", "/local/domain/0",
          "/local/domain/7")
    gives("xenstore-read /local/domain/7/n", "/local/domain/7/name")
    gives("xenstore-read -p /tool /local/domain/7/n", "/local/domain/7/name")
    gives("xenstore read /too", "/tool")
    gives("/usr/bin/xenstore-read /too", "/tool")
    gives("xenstore-ls /nothing/")
    gives("xenstore-ls //")
    gives("xenstore-ls nothing")
    gives("xenstore-ls /t/at@", "x", "y")
    gives("xenstore-ls /t/at@y", "y/")
    gives("xenstore-read -", "-h", "-p", "-R")
    gives("xenstore ls -", "-f", "-h", "-p")
    gives("xenstore-write /too", "/tool")
    gives("xenstore-write /tool ")
    gives("xenstore-write /tool /lo")
    gives("xenstore-write /tool x /too", "/tool")
    gives("xenstore-write -R /tool x /too", "/tool")
    gives("xenstore-chmod -r /too", "/tool")
    gives("xenstore-chmod /tool ", *[c + d for c in "nrwb" for d in "07"])
    gives("xenstore-chmod /tool n0 r", "r0", "r7")
    gives("xenstore-watch @", "introduceDomain", "releaseDomain")
    gives("xenstore-watch @in", "introduceDomain")
    gives("xenstore-watch -n ")
    gives("xenstore-watch -n 2 /too", "/tool")
    gives("xenstore devices ", "0", "7")
    gives("xenstore devices 0 7", "7")
    gives("xenstore top ")
    gives("xenstore top -", "-d", "-h", "-n")
    gives("xenstore dump /too", "/tool")
    gives("xenstore load /too")
    gives("xenstore-control ", "check", "live-update", "quota")
    gives("xenstore-control li", "live-update")
    gives("xenstore-control check x")
    gives("xenstore-control live-update -", "-F", "-c", "-t", "-v")
    gives("xenstore-control live-update /etc/passw", "/etc/passwd",
          *(["/etc/passwd-"] if os.path.exists("/etc/passwd-") else []))
    ok, seen = type_keys(env, b"xenstore-read /loc\tdom\t7/na\t",
                         b"/local/domain/7/name")
    tap.ok(ok, "an interactive shell completes a path step by step", seen)


def hostile(env, tmp):
    mark = tmp + "/mark"
    names = [b"$(touch %s)" % mark.encode(), b"`touch %s`" %
             mark.encode(), b";touch %s" % mark.encode(), b"a b", b"*",
             b"\x1b[31m", b"", b"-x", b"~", b"$HOME", b"a\\nb", b"\xff",
             b"fine"]
    reply = b"".join(n.replace(b"/", b"$IFS") + b"\0" for n in names)
    rules = [("DIRECTORY", b"/\0", [reply] * 9),
             ("DIRECTORY", b"/local/domain\0", [reply] * 9),
             ("CONTROL", None, [b"$(touch %s)\n`touch %s`\nfine x\n\0" %
                                (mark.encode(), mark.encode())] * 9)]
    with Scripted(env["XENSTORED_PATH"], STORE, rules):
        got = complete(env, "xenstore-ls /")
        tap.ok(got == ["/-x", "/fine"],
               "hostile names are not offered", got)
        got = complete(env, "xenstore-chmod /tool ")
        tap.ok(got == [], "hostile domids are not offered", got)
        got = complete(env, "xenstore-control ")
        tap.ok(got == ["fine"], "hostile commands are not offered", got)
        got = complete(env, "xenstore-ls /$(touch %s)/" % mark)
        tap.ok(got == [], "a hostile line offers nothing", got)
        tap.ok(not os.path.exists(mark), "nothing of all that was run")
    with Scripted(env["XENSTORED_PATH"], STORE,
                  [("DIRECTORY", None, ["SILENCE"] * 9)]):
        start = time.monotonic()
        complete(env, "xenstore-ls /lo")
        tap.ok(time.monotonic() - start < 15,
               "a daemon that hangs delays the shell by seconds only")
    tap.ok(complete(env, "xenstore-ls /lo") == [],
           "without a daemon nothing is offered and nothing said")


def main():
    with tempfile.TemporaryDirectory(prefix="xenstore-comp.") as tmp:
        env = {"PATH": os.environ["BUILD"] + ":/usr/bin:/bin", "HOME": tmp,
               "XENSTORED_PATH": tmp + "/socket"}
        help_text = b"check          \nlive-update    [-c <cmdline>]\n" \
            b"    Default timeout\nquota          [set]\n\0"
        with Scripted(env["XENSTORED_PATH"], STORE,
                      [("CONTROL", None, [help_text] * 9)]):
            ordinary(env)
        hostile(env, tmp)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
