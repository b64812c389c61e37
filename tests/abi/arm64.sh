# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The library, a tool and the unit tests for arm64, on another processor under
# qemu's user mode emulation; and a segment that both kinds of program share.
#
# The emulation runs accesses in program order: this shows that the code is
# right for the processor's instructions, sizes and system calls, and says
# nothing of its memory model.
. "$WBC_SRC/tests/abi/port.sh"

cc=aarch64-linux-gnu-gcc
command -v $cc >/dev/null || skip_all "$cc is missing (gcc-aarch64-linux-gnu)"
command -v qemu-aarch64 >/dev/null || skip_all "qemu-aarch64 is missing (qemu-user)"
echo '#include <stdio.h>' | $cc -E - >/dev/null 2>&1 ||
	skip_all "arm64's C library is missing (libc6-dev-arm64-cross)"
[ -z "$WBC_SANITIZE" ] || skip_all "built with $WBC_SANITIZE"
[ "$(uname -m)" != aarch64 ] || skip_all "this is arm64: make check tests it"

emulator="qemu-aarch64 -L /usr/aarch64-linux-gnu"
there="$emulator $port/tests/abi/together"
here=$WBC_BUILD/tests/abi/together
segment=$TMPDIR/segment

# Both count at once, on the same rows.
count_together()
{
	$there "$segment" add 20000 &
	$here "$segment" add 200000 &&
		wait $!
}

# sums COMMAND: of both, to the add.
sums()
{
	local out
	out=$($1 "$segment" sum)
	echo "$out"
	[ "$out" = '220000 55000.00 200' ]
}

# holder_of COMMAND REAPER: the living are not reaped, the dead are, once.
holder_of()
{
	local alive dead twice pid
	coproc $1 "$segment" hold
	pid=$COPROC_PID
	read -r _ <&"${COPROC[0]}" || return
	alive=$($2 "$segment" reap)
	kill -KILL "$pid"
	wait "$pid"
	dead=$($2 "$segment" reap)
	twice=$($2 "$segment" reap)
	echo "$alive $dead $twice"
	[ "$alive $dead $twice" = '0 1 0' ]
}

ok "the sources are there" copy_sources
ok "its headers are there" headers_folder
ok "it configures for arm64" configure_port --host=aarch64-linux-gnu
ok "it builds for arm64, without a warning" build_port
[ "$tap_failed" -eq 0 ] || done_testing
ok "the tests link for arm64" port_link $cc
ok "arm64 and $(uname -m) count in one segment at once" count_together
ok "P10: $(uname -m) reads what both counted and inserted" sums "$here"
ok "P10: arm64 reads the same" sums "$there"
ok "P9: a killed arm64 process is found dead, once, and no living one is" \
	holder_of "$there" "$here"
ok "P9: arm64 finds a killed $(uname -m) process dead" holder_of "$here" "$there"
for test in $port_tests; do
	case $test in
	*/segment) skip "${test##*/}" "takes minutes under emulation" ;;
	*) retell "$test" ;;
	esac
done
done_testing
