# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# What arm64.sh and musl.sh share: another build of the library, the tools and
# the tests that need no flusher, in $TMPDIR, and its tests run and retold.

. "$WBC_SRC/tests/tap/tap.sh"
cd "$TMPDIR" || exit 1
port=$TMPDIR/port
port_tests=$(sed -n '/^C_TESTS = /,/[^\\]$/p' "$WBC_SRC/tests/local.mk" |
	grep -o 'tests/unit/[a-z_]*')

# The sources alone, as a tarball has them: nothing that was built.
copy_sources()
{
	mkdir -p "$port" &&
	(cd "$WBC_SRC" && find . \
		\( -name .git -o -name .libs -o -name .deps -o -name soak \) -prune -o \
		-type f \( -name '*.[ch18]' -o -name '*.mk' -o -name '*.in' \
		-o -name '*.ac' -o -name '*.am' -o -name '*.m4' -o -name '*.map' \
		-o -name configure -o -path './build-aux/*' \) \
		! -path './config.h' -print | tar cf - -T -) |
		(cd "$port" && tar xf - && chmod -R u+w .)
}

# Headers that are needed and are no part of the C library: found where the
# build finds them, alone in a folder, so that nothing else of the host is.
headers_folder()
{
	mkdir -p "$port/include" &&
	echo '#include <xxhash.h>' | cc -E -x c - |
		sed -n 's/^# 1 "\(.*\/xxhash\.h\)".*/\1/p' | head -n 1 |
		xargs -I '{}' cp '{}' "$port/include/"
	[ -s "$port/include/xxhash.h" ]
}

# configure_port ARGUMENT...
configure_port()
{
	(cd "$port" && ./configure -q --enable-werror --without-flusher \
		--disable-dependency-tracking CFLAGS=-O2 \
		CPPFLAGS="-isystem $port/include" "$@" >configure.out 2>&1) ||
		{ tail -n 20 "$port/configure.out"; return 1; }
}

# The library and the tools as make has them, and of the tests the objects:
# port_link makes programs of these, which is quicker than libtool.
build_port()
{
	local objects
	objects=$(printf '%s.o ' $port_tests tests/abi/together)
	env -u MAKEFLAGS -u MFLAGS make -C "$port" -s -j2 libwbcshm.la \
		tools/wbc-shmctl units/libunits.la tests/tap/libtap.la \
		$objects >"$port/make.out" 2>&1 &&
		! grep -i 'warning' "$port/make.out" ||
		{ tail -n 20 "$port/make.out"; return 1; }
}

# port_link CC
port_link()
{
	local test
	for test in $port_tests tests/abi/together; do
		(cd "$port" && "$1" -pthread -o "$test" "$test.o" \
			tests/tap/.libs/libtap.a api/.libs/libapi.a \
			shm/.libs/libshm.a units/.libs/libunits.a -lm) || return
	done
}

# retell NAME: what a test said, under our numbers; what it skipped is skipped.
retell()
{
	local line rc=0 seen=0
	said=$TMPDIR/${1##*/}.log
	(cd "$port" && ${emulator-} "./$1") >"$said" 2>&1 || rc=$?
	while IFS= read -r line; do
		case $line in
		'ok '*' # SKIP '* | '1..0 # SKIP '*)
			skip "${1##*/}" "${line#*# SKIP }"
			seen=1
			;;
		'ok '*)
			tap_run=$((tap_run + 1))
			echo "ok $tap_run - ${1##*/}: ${line#ok * - }"
			seen=1
			;;
		'not ok '*)
			tap_run=$((tap_run + 1))
			tap_failed=$((tap_failed + 1))
			echo "not ok $tap_run - ${1##*/}: ${line#not ok * - }"
			seen=1
			rc=0
			;;
		'#'*) echo "$line" ;;
		esac
	done <"$said"
	[ "$rc" -eq 0 ] && [ "$seen" -eq 1 ] ||
		ok "${1##*/} ends well" bash -c "tail -n 3 '$said'; exit 1"
}
