# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For scripts that start daemons: sourced.

# kill_group PID: a process that was started by setsid, and all that it has
# started, who would go on in its place. A signal to the group misses nobody,
# not even who is just born. Returns when they have let go of their files.
kill_group() {
	kill -9 -- "-$1" 2>/dev/null
	wait "$1" 2>/dev/null
	while pgrep -g "$1" -r D,R,S,T >/dev/null; do
		sleep 0.01
	done
}
