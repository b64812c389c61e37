# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# What the shared library exports and needs, and what the folders need of one
# another.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$TMPDIR" || exit 1
library=$WBC_BUILD/.libs/libwbcshm.so
command -v readelf >/dev/null || skip_all "readelf is missing (binutils)"

nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* [TDBRVW] //p' |
	sed 's/@.*//' | sort >exported
cc -E -P "$WBC_SRC/api/wbcshm.h" | perl "$WBC_SRC/tests/abi/declared.pl" >declared
sed -n 's/^\t\(wbc_[a-z0-9_]*\);$/\1/p' "$WBC_SRC/libwbcshm.map" | sort >mapped

# same A B: shows what only one of them has.
same()
{
	diff -U0 "$1" "$2" | grep '^[-+]'
	cmp -s "$1" "$2" && [ -s "$1" ]
}

only_our_names()
{
	! grep -v '^wbc_[a-z]' exported
}

only_libc()
{
	! readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
		grep -Ev '^(libc\.so|libc\.musl-|ld-linux-|ld-musl-)'
}

# needs_nothing_of ARCHIVE ARCHIVE...: does the first leave no name undefined
# that a later one defines?
needs_nothing_of()
{
	local below=$1
	shift
	nm -u "$below" | sed -n 's/^ *U //p' | sort -u >undefined
	nm --defined-only "$@" | sed -n 's/^[0-9a-f]* [TDBRV] //p' | sort -u >above
	nm --defined-only "$below" | sed -n 's/^[0-9a-f]* [TDBRV] //p' | sort -u >own
	! comm -12 undefined above | comm -23 - own | grep .
}

shm=$WBC_BUILD/shm/.libs/libshm.a
api=$WBC_BUILD/api/.libs/libapi.a
above_api=
for archive in flusher/.libs/libflusher.a tools/.libs/libcli.a; do
	test -f "$WBC_BUILD/$archive" && above_api="$above_api $WBC_BUILD/$archive"
done

ok "the library exports nothing but wbc_ names" only_our_names
ok "it exports every name that the public headers declare, and no other" \
	same declared exported
ok "the symbol map lists exactly these" same declared mapped
if [ -n "$WBC_SANITIZE" ]; then
	skip "the library needs nothing but libc" "built with $WBC_SANITIZE"
else
	ok "the library needs nothing but libc" only_libc
fi
ok "shm uses nothing of api, flusher or tools" \
	needs_nothing_of "$shm" "$api" $above_api
if [ -n "$above_api" ]; then
	ok "api uses nothing of flusher or tools" \
		needs_nothing_of "$api" $above_api
fi
ok "shm and api neither print, exit nor abort the process" \
	bash -c "! nm -u '$shm' '$api' |
		grep -wE 'U (printf|puts|putchar|perror|exit|_exit|abort|fprintf|__printf_chk|__fprintf_chk|stdout|stderr)'"
done_testing
