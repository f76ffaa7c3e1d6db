# SPDX-License-Identifier: MIT
"""Every call of Debian's xen.lowlevel.xs; what comes back is printed."""
import os
import sys

sys.path.insert(0, "/usr/lib/xen-4.17/lib/python")
import xen.lowlevel.xs  # noqa: E402


def show(name, *args):
    try:
        result = getattr(h, name)(*args)
    except xen.lowlevel.xs.Error as e:
        result = "error %s" % (e.args,)
    print(name, args, "->", result)
    return result


h = xen.lowlevel.xs.xs()
os.set_inheritable(h.fileno(), False)
show("mkdir", "", "/py")
show("write", "", "/py/a", "one")
show("read", "", "/py/a")
show("read", "", "/py/none")
show("ls", "", "/py")
show("ls", "", "/py/none")
show("get_permissions", "", "/py/a")
show("set_permissions", "", "/py/a", [{"dom": 0, "read": True, "write": True}])
show("get_permissions", "", "/py/a")
show("watch", "/py", "token")
show("read_watch")
show("check_watch")
show("write", "", "/py/b", "two")
show("read_watch")
show("unwatch", "/py", "token")
for abort in ("0", "1"):
    t = h.transaction_start()
    show("write", t, "/py/c", abort)
    print("transaction_end", h.transaction_end(t, int(abort)))
    show("read", "", "/py/c")
show("introduce_domain", 77, 1, 1)
show("set_target", 77, 78)
show("resume_domain", 77)
show("release_domain", 77)
show("get_domain_path", 77)
show("rm", "", "/py")
show("rm", "", "/no/such/node")
show("close")
