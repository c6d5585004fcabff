"""Become a server process: drop to its user, ask to be signalled when the parent dies, exec.

`embedded.process` and `supervise` run this file as a script, and nothing imports it. It is a program of
its own because the order matters (Linux forgets the request when the user changes: man 2const
PR_SET_PDEATHSIG), and because code between fork and exec must not take a lock, which Python cannot
promise in a process with threads.

    python launch.py PARENT_PID SIGNAL UID:GID|- PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, signal, account, *command = sys.argv[1:]
    if account != "-":
        uid, gid = (int(number) for number in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the request was in force
            sys.exit("the process that asked for this server is gone")
    try:
        os.execv(command[0], command)  # noqa: S606 - the caller names the program, no shell is involved
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main()
