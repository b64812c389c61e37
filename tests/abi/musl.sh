# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The library, a tool and the unit tests with musl instead of glibc.  The
# kernel's headers are shown to the compiler, and no other of the host.
. "$WBC_SRC/tests/abi/port.sh"

command -v musl-gcc >/dev/null || skip_all "musl-gcc is missing (musl-tools)"
[ -z "$WBC_SANITIZE" ] || skip_all "built with $WBC_SANITIZE, which musl lacks"
case $(uname -m) in
x86_64) triplet=x86_64-linux-gnu ;;
aarch64) triplet=aarch64-linux-gnu ;;
*) skip_all "no musl for $(uname -m)" ;;
esac

kernel_headers()
{
	ln -s /usr/include/linux /usr/include/asm-generic "$port/include/" &&
		ln -s "/usr/include/$triplet/asm" "$port/include/asm"
}

# Does the library name nothing that musl has not?
loads()
{
	LD_LIBRARY_PATH=$port/.libs "$port/tools/wbc-shmctl" --version &&
		readelf -d "$port/.libs/libwbcshm.so" | grep -q 'NEEDED.*\[libc\.'
}

ok "the sources are there" copy_sources
ok "its headers are there" eval 'headers_folder && kernel_headers'
ok "it configures with musl" configure_port CC=musl-gcc
ok "it builds with musl, without a warning" build_port
[ "$tap_failed" -eq 0 ] || done_testing
ok "the library needs musl alone, and a tool starts" loads
ok "the tests link with musl" port_link musl-gcc
for test in $port_tests; do
	retell "$test"
done
done_testing
