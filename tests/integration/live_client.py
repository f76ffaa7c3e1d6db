#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A client that lives through a live update.

live_client.py SOCKET READY GO [txn] [target]: sets things up, makes the file
READY, waits for the file GO, and looks whether everything is still there;
prints what is not and exits with 1. `txn` keeps a transaction open meanwhile,
`target` sets the target of domain 2, `half` leaves half a message behind.
"""
import os
import socket
import struct
import sys
import time

sock, ready, go = sys.argv[1:4]
want = sys.argv[4:]
me = b'%d' % os.getpid()
path = b'/live/' + me + b'/'
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sock)
failed = []


def take():
    h = struct.unpack('<IIII', s.recv(16, socket.MSG_WAITALL))
    return h[0], s.recv(h[3], socket.MSG_WAITALL) if h[3] else b''


def message(op, payload, tx=0):
    return struct.pack('<IIII', op, 7, tx, len(payload)) + payload


def ask(op, payload, tx=0):
    s.sendall(message(op, payload, tx))
    return take()


def expect(what, got, wanted):
    if got != wanted:
        failed.append('%s: %r, not %r' % (what, got, wanted))


OK = b'OK\0'
guests = 'guests' in want
if guests:
    expect('introduce', ask(8, b'1\0001000\0005\0'), (8, OK))
    expect('introduce', ask(8, b'2\0001000\0006\0'), (8, OK))
if 'target' in want:
    expect('target', ask(19, b'2\0001\0'), (19, OK))
expect('write', ask(11, path + b'bytes\0\0\1\xff\n'), (11, OK))
expect('chmod', ask(14, path + b'bytes\0n0\0r1\0b2\0'), (14, OK))
expect('watch', ask(4, b'rel/' + me + b'\0token\0'), (4, OK))
expect('first event', take(), (15, b'rel/' + me + b'\0token\0'))
if 'txn' in want:
    tx = int(ask(6, b'\0')[1][:-1])
    expect('read in it', ask(2, path + b'bytes\0', tx), (2, b'\0\1\xff\n'))
    expect('write in it', ask(11, path + b'new\0new', tx), (11, OK))
late = message(2, path + b'bytes\0')
if 'half' in want:
    s.sendall(late[:20])
open(ready, 'w').close()
for _ in range(300):
    if os.path.exists(go):
        break
    time.sleep(0.1)
if 'half' in want:
    s.sendall(late[20:])
    expect('half a message', take(), (2, b'\0\1\xff\n'))
expect('read', ask(2, path + b'bytes\0'), (2, b'\0\1\xff\n'))
expect('permissions', ask(3, path + b'bytes\0'), (3, b'n0\0r1\0b2\0'))
if guests:
    expect('introduced', ask(17, b'1\0'), (17, b'T\0'))
    expect('introduced', ask(17, b'2\0'), (17, b'T\0'))
s.sendall(message(11, b'rel/' + me + b'/below\0x'))
expect('event and reply', sorted((take(), take())),
       [(11, OK), (15, b'rel/' + me + b'/below\0token\0')])
if 'txn' in want:
    expect('before the end', ask(2, path + b'new\0'), (16, b'ENOENT\0'))
    expect('still in it', ask(2, path + b'new\0', tx), (2, b'new'))
    expect('its end', ask(7, b'T\0', tx), (7, OK))
    expect('after the end', ask(2, path + b'new\0'), (2, b'new'))
for line in failed:
    print('# ' + line)
sys.exit(1 if failed else 0)
