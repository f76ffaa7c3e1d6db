#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long clients wait while a worker dies and another one follows.

   pause.py SOCKET KEEPER DOMAINS ROUNDS

Introduces the domains 1..DOMAINS, which exist already, and reads in a loop;
kills the worker of the process KEEPER, ROUNDS times. Prints the longest waits
for an answer, in milliseconds.
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../integration'))
from xswire import Client    # noqa: E402

REST = 1.5    # seconds; who dies more often is started less eagerly


def worker(keeper):
    """Only a worker has the journal in its memory."""
    with open('/proc/%d/task/%d/children' % (keeper, keeper)) as f:
        for pid in f.read().split():
            with open('/proc/%s/maps' % pid) as maps:
                if '/journal.' in maps.read():
                    return int(pid)
    raise RuntimeError('there is no worker')


def read_for(client, seconds):
    """The longest wait."""
    longest, now = 0, time.monotonic()
    end = now + seconds
    while now < end:
        client.read(b'/')
        then, now = now, time.monotonic()
        longest = max(longest, now - then)
    return longest


def cpu(pid):
    """Seconds; what a pause would be on a machine without other work."""
    with open('/proc/%d/schedstat' % pid) as f:
        return int(f.read().split()[0]) / 1e9


def after_death(client, path, keeper):
    """The longest wait, and what the next worker used until it answered."""
    client.read(b'/')
    os.kill(worker(keeper), signal.SIGKILL)
    start = time.monotonic()
    try:
        client.read(b'/')
    except (EOFError, ConnectionError):    # it was being served
        client = Client(path, 60)
        client.read(b'/')
    wait = time.monotonic() - start
    used = cpu(worker(keeper))
    return client, max(wait, read_for(client, REST)), used


def main():
    path, keeper, domains, rounds = sys.argv[1], *map(int, sys.argv[2:])
    client = Client(path, 60)
    for domid in range(1, domains + 1):
        client.call('INTRODUCE', b'%d\0%d\0%d\0' % (domid, domid, 1))
    print('undisturbed %.1f' % (read_for(client, 1) * 1e3))
    for _ in range(rounds):
        client, wait, used = after_death(client, path, keeper)
        print('worker killed %.1f, of CPU time %.1f' % (wait * 1e3, used * 1e3))


main()
