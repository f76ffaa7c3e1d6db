#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Python's binding of Xen's library, on the daemon at $XENSTORED_PATH.

   debian_xs.py DIRECTORY_OF_THE_XEN_PACKAGE
"""
import os
import sys

import tap

sys.path.insert(0, sys.argv[1])
from xen.lowlevel import xs as binding  # noqa: E402

h = binding.xs()


def raises(errno, call, *args):
    try:
        call(*args)
    except binding.Error as e:
        return e.args[0] == errno
    return False


h.write('', '/py/a', 'value')
tap.ok(h.read('', '/py/a') == b'value', 'write, then read')
tap.ok(h.read('', '/py/nox') is None, 'a missing node reads as None')
h.mkdir('', '/py/d')
tap.ok(h.ls('', '/py') == ['a', 'd'], 'mkdir, then ls', h.ls('', '/py'))
tap.ok(h.ls('', '/py/d') == [], 'an empty node lists nothing')
tap.ok(h.ls('', '/py/nox') is None, 'a missing node lists as None')

h.set_permissions('', '/py/a', [{'dom': 0, 'read': False, 'write': False},
                                {'dom': 5, 'read': True, 'write': False}])
got = h.get_permissions('', '/py/a')
tap.ok([(p['dom'], bool(p['read']), bool(p['write'])) for p in got]
       == [(0, False, False), (5, True, False)],
       'permissions are read back', got)

t = h.transaction_start()
h.write(t, '/py/t', '1')
tap.ok(h.read('', '/py/t') is None, 'a transaction is private')
tap.ok(h.transaction_end(t) is True, 'a transaction commits')
tap.ok(h.read('', '/py/t') == b'1', 'what was committed is there')

other = binding.xs()
t = h.transaction_start()
h.read(t, '/py/t')
other.write('', '/py/t', '2')
h.write(t, '/py/u', '1')
tap.ok(h.transaction_end(t) is False, 'a conflict makes the end False')
t = h.transaction_start()
h.write(t, '/py/t', '3')
h.transaction_end(t, True)
tap.ok(h.read('', '/py/t') == b'2', 'an aborted transaction leaves nothing')

h.watch('/py/w', 'token')
tap.ok(h.read_watch() == ('/py/w', 'token'), 'a watch fires at once')
other.write('', '/py/w/x', '1')
tap.ok(h.read_watch() == ('/py/w/x', 'token'), 'a watch sees a change below')
tap.ok(h.check_watch() is None, 'there is no further event')
h.unwatch('/py/w', 'token')
tap.ok(raises(2, h.unwatch, '/py/w', 'token'),
       'an unknown watch is ENOENT to unwatch')
tap.ok(h.get_domain_path(5) == '/local/domain/5', 'the path of a domain')
tap.ok(raises(22, h.write, '', '/a.b', '1'), 'a bad path is EINVAL')
h.rm('', '/py')
tap.ok(h.read('', '/py/a') is None, 'rm takes the subtree')

# Forked, with a handle of its own.
pid = os.fork()
if pid == 0:
    binding.xs().write('', '/py/child', 'c')
    os._exit(0)
os.waitpid(pid, 0)
tap.ok(h.read('', '/py/child') == b'c', 'a child process has its own handle')
h.rm('', '/py')
sys.exit(tap.end())
