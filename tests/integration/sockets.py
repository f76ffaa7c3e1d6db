#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What many clients, or hostile ones, do to a daemon's socket.

   sockets.py SOCKET PID

Everything a single client can see of the protocol is in tests/conformance;
here it is about load, time and descriptors. PID is the daemon's; its children
count as it.
"""
import errno
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time

import tap
from xswire import HEADER, OP, Client, recv_message

MANY = 10000    # clients
PATH, PID = sys.argv[1], int(sys.argv[2])


def request(op, payload=b'', req=0, tx=0):
    return HEADER.pack(OP[op], req, tx, len(payload)) + payload


def connect(timeout=20):
    s = socket.socket(socket.AF_UNIX)
    s.connect(PATH)    # waits while too many wait already
    s.settimeout(timeout)
    return s


def processes():
    with open('/proc/%d/task/%d/children' % (PID, PID)) as f:
        return [PID] + [int(p) for p in f.read().split()]


def status(pid, key):
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith(key + ':'):
                return int(line.split()[1])


def descriptors():
    """Keeper and worker may share a table: the larger counts."""
    return max(len(os.listdir('/proc/%d/fd' % p)) for p in processes())


def private_kb():
    """Without the mapped journal, of which more or less is touched."""
    return sum(status(p, 'RssAnon') for p in processes())


def cpu_s():
    total = 0
    for p in processes():
        with open('/proc/%d/schedstat' % p) as f:
            total += int(f.read().split()[0])
    return total / 1e9


def wakeups():
    return sum(status(p, 'voluntary_ctxt_switches') for p in processes())


def eventually(claim, seconds=20):
    end = time.monotonic() + seconds
    while not claim() and time.monotonic() < end:
        time.sleep(0.02)
    return claim()


def served(s, seconds=5):
    """A client is answered, and how soon."""
    start = time.monotonic()
    s.sendall(request('GET_DOMAIN_PATH', b'0\0', 77))
    kind, req, _, data = recv_message(s)
    return (kind == OP['GET_DOMAIN_PATH'] and req == 77
            and data == b'/local/domain/0\0'
            and time.monotonic() - start < seconds)


def sanitized():
    with open('/proc/%d/maps' % PID) as f:
        return 'libasan' in f.read()


def test_thousands():
    """3000 clients at once are all served"""
    all_ = [connect() for _ in range(3000)]
    for n, s in enumerate(all_):
        s.sendall(request('WRITE', b'/many/%d\0%d' % (n % 100, n), n))
    for n, s in enumerate(all_):
        if recv_message(s) != (OP['WRITE'], n, 0, b'OK\0'):
            return 'client %d' % n
    for s in all_:
        s.close()


def test_idle():
    """500 idle clients cost no wake-up and no CPU time"""
    all_ = [connect() for _ in range(500)]
    served(all_[-1])
    time.sleep(0.2)
    before, cpu = wakeups(), cpu_s()
    time.sleep(1)
    woken, cpu = wakeups() - before, cpu_s() - cpu
    for s in all_:
        s.close()
    if woken > 2 or cpu > 0.01:
        return '%d wake-ups, %.3f s in one second' % (woken, cpu)


def touched_kb(s):
    """Memory of the daemon that 20 writes and reads of one client touch."""
    def pages():
        total = 0
        for p in processes():
            with open('/proc/%d/smaps_rollup' % p) as f:
                total += sum(int(line.split()[1]) for line in f
                             if line.startswith('Referenced:'))
        return total

    for p in processes():
        with open('/proc/%d/clear_refs' % p, 'w') as f:
            f.write('1')
    for n in range(20):
        for op, payload in ('WRITE', b'/many/1\0%d' % n), ('READ', b'/many/1\0'):
            s.sendall(request(op, payload, n))
            if recv_message(s)[0] != OP[op]:
                raise RuntimeError(op)
    return pages()


def test_work():
    """A request touches as much memory with 10000 clients as with 10"""
    all_ = [connect() for _ in range(10)]
    served(all_[0])
    few = min(touched_kb(all_[0]) for _ in range(5))
    all_ += [connect() for _ in range(MANY - len(all_))]
    if not served(all_[-1], 20):
        return 'not served'
    many = min(touched_kb(all_[0]) for _ in range(5))
    for s in all_:
        s.close()
    # Each has 1 KiB of its own: a look at all would be 10 MiB.
    if many > few + 500:
        return '%d KiB, then %d KiB' % (few, many)


def test_burst():
    """100 connects that nobody has accepted yet do not fail"""
    for p in processes():
        os.kill(p, signal.SIGSTOP)
    got, failed = [], 0
    try:
        for _ in range(100):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            failed += s.connect_ex(PATH) != 0
            got.append(s)
    finally:
        for p in processes():
            os.kill(p, signal.SIGCONT)
    if failed:
        return '%d of 100 were refused' % failed
    for s in got:
        s.settimeout(10)
        if not served(s, 10):
            return 'not served'
        s.close()


def test_bytes():
    """200 clients that send byte by byte, mixed, are all served"""
    all_ = [connect() for _ in range(200)]
    message = request('READ', b'/many/1\0', 5)
    for n in range(len(message)):
        for s in all_:
            s.sendall(message[n:n + 1])
    for s in all_:
        if recv_message(s)[:2] != (OP['READ'], 5):
            return 'wrong answer'
        s.close()


def test_pipeline():
    """10000 requests sent without waiting are answered in order"""
    s = connect()
    data = b''.join(request('WRITE', b'/pipe\0%d' % n, n) +
                    request('READ', b'/pipe\0', n) for n in range(5000))
    threading.Thread(target=s.sendall, args=(data,)).start()
    for n in range(5000):
        if recv_message(s) != (OP['WRITE'], n, 0, b'OK\0'):
            return 'write %d' % n
        if recv_message(s) != (OP['READ'], n, 0, b'%d' % n):
            return 'read %d' % n
    s.close()


def test_slow_reader():
    """A client that does not read holds up nobody, and loses nothing"""
    other, slow = connect(), connect()
    slow.sendall(request('WRITE', b'/large\0' + b'v' * 2000))
    recv_message(slow)
    data = request('READ', b'/large\0') * 10000
    sender = threading.Thread(target=slow.sendall, args=(data,))
    slow.settimeout(60)
    sender.start()
    time.sleep(0.2)
    for _ in range(200):
        if not served(other):
            return 'the other client waits'
    for n in range(10000):
        if recv_message(slow)[3] != b'v' * 2000:
            return 'answer %d is wrong' % n
    sender.join()
    slow.close()
    other.close()


def test_slow_watcher():
    """A client that does not read its events holds up nobody"""
    other, slow = connect(), connect()
    slow.sendall(request('WATCH', b'/flood\0t\0'))
    recv_message(slow)
    for n in range(20):
        burst = b''.join(request('WRITE', b'/flood/%d-%d\0v' % (n, i))
                         for i in range(500))
        other.sendall(burst)
        for _ in range(500):
            recv_message(other)
    if not served(other):
        return 'the writer waits'
    seen = set()
    while len(seen) < 10001:
        kind, _, _, payload = recv_message(slow)
        seen.add(payload)
    other.sendall(request('RM', b'/flood\0'))
    recv_message(other)
    slow.close()
    other.close()


def test_half():
    """Half messages and sudden ends leave no descriptor behind"""
    # Clients of other tests are still being closed.
    eventually(lambda: descriptors() < 100)
    before = descriptors()
    pieces = [b'', b'\x02', HEADER.pack(2, 0, 0, 100), b'x' * 15,
              HEADER.pack(11, 0, 0, 4096) + b'/x\0' * 100,
              request('WATCH', b'/half\0t\0'),
              request('TRANSACTION_START', b'\0'),
              request('READ', b'/large\0') * 300]
    for n in range(800):
        s = connect()
        s.sendall(pieces[n % len(pieces)])
        if n % 3 == 0:    # with a reset, where there is something unread
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack('ii', 1, 0))
        s.close()
    if not eventually(lambda: descriptors() <= before):
        return '%d descriptors, %d before' % (descriptors(), before)
    if not served(connect()):
        return 'not served'


def test_oversized():
    """A length beyond the limit ends that client only"""
    other = connect()
    for size in (4097, 65536, 0x7fffffff, 0xffffffff):
        s = connect()
        s.sendall(struct.pack('<4I', OP['WRITE'], 0, 0, size))
        try:
            if s.recv(100):
                return 'an answer to %d' % size
        except ConnectionResetError:
            pass
        if not served(other):
            return 'the other client is not served'


def at_once(*sends):
    """All of it is there when the daemon looks."""
    for p in processes():
        os.kill(p, signal.SIGSTOP)
    for s, data in sends:
        s.sendall(data)
    for p in processes():
        os.kill(p, signal.SIGCONT)


def test_turn():
    """Who waits for a turn that began just before is not forgotten"""
    for _ in range(10):
        loser, other = Client(PATH), connect()
        loser.write(b'/turn', b'0')
        tx = int(loser.call('TRANSACTION_START', b'\0')[:-1])
        loser.call('READ', b'/turn\0', tx)
        loser.call('WRITE', b'/turn\x001', tx)
        other.sendall(request('WRITE', b'/turn\x002'))
        recv_message(other)
        at_once((loser.sock, request('TRANSACTION_END', b'T\0', tx=tx)),
                (other, request('WRITE', b'/turn\x003')))
        if recv_message(loser.sock)[3] != b'EAGAIN\0':
            return 'there is no conflict'
        start = time.monotonic()
        recv_message(other)
        if time.monotonic() - start > 5:
            return 'it waited for %.1f s' % (time.monotonic() - start)


def test_heavy():
    """Replies do not wait until all that others asked for is done"""
    def passes():
        stats = asker.call('CONTROL', b'stats\0').decode()
        return int(stats.split('Passes of the main loop')[1].split()[0])
    asker, slow = Client(PATH), connect()
    slow.sendall(b''.join(request('WATCH', b'/w\0%d\0' % i)
                          for i in range(500)))
    for _ in range(1000):    # with the first events
        recv_message(slow)
    before = passes()
    report = PATH + '.report'    # of everything there is
    at_once((slow, request('CONTROL', b'memreport\0%s\0' %
                           report.encode()) * 300))
    for _ in range(300):
        recv_message(slow)
    os.unlink(report)
    if passes() - before < 8:
        return 'all of it was done in %d passes' % (passes() - before)


def test_memory():
    """Clients that come and go leave no memory behind"""
    def round_():
        for _ in range(1500):
            s = connect()
            s.sendall(request('WATCH', b'/w\0t\0') +
                      request('TRANSACTION_START', b'\0') +
                      request('WRITE', b'/w/x\0' + b'v' * 1000))
            for _ in range(4):
                recv_message(s)
            s.close()
    round_()
    before = private_kb()
    round_()
    round_()
    grown = private_kb() - before
    if grown > 1024:
        return 'grown by %d KiB in 3000 clients' % grown


def test_exhaustion():
    """Running out of descriptors is survived, and costs no CPU time"""
    old = connect()
    served(old)
    worker = processes()[-1]
    limits = [(p, resource.prlimit(p, resource.RLIMIT_NOFILE))
              for p in processes()]
    hard = limits[0][1][1]
    for p, _ in limits:
        resource.prlimit(p, resource.RLIMIT_NOFILE,
                         (descriptors() + 20, hard))
    waiting = []
    try:
        for _ in range(100):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            if s.connect_ex(PATH) not in (0, errno.EAGAIN):
                return 'connect: %s' % os.strerror(s.connect_ex(PATH))
            waiting.append(s)
        time.sleep(0.3)
        cpu = cpu_s()
        for _ in range(10):
            if not served(old):
                return 'an old client is not served'
            time.sleep(0.1)
        cpu = cpu_s() - cpu
        if cpu > 0.3:
            return '%.2f s of CPU time in a second' % cpu
        for s in waiting:
            s.close()
        fresh = connect(10)
        if not served(fresh, 10):
            return 'a new client is not served afterwards'
    finally:
        for p, old_limit in limits:
            resource.prlimit(p, resource.RLIMIT_NOFILE, old_limit)
    os.kill(worker, 0)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Client(PATH).write(b'/many/1', b'1')
    only = sys.argv[3:]
    for name, test in list(globals().items()):
        if name in ('test_memory', 'test_work') and sanitized():
            tap.skip(test.__doc__, 'sanitizers keep memory')
            continue
        if not name.startswith('test_') or (only and name[5:] not in only):
            continue
        if name == 'test_work' and hard < MANY + 200:
            tap.skip(test.__doc__, 'descriptor limit %d' % hard)
            continue
        if name == 'test_thousands' and hard < 3200:
            tap.skip(test.__doc__, 'descriptor limit %d' % hard)
            continue
        try:
            why = test()
        except Exception as e:    # the daemon is gone, or does not answer
            why = '%s: %s' % (type(e).__name__, e)
        tap.ok(why is None, test.__doc__, why)
    return tap.end()


sys.exit(main())
