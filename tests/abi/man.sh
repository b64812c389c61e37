# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# Each man page as mandoc reads it.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$WBC_SRC/doc" || exit 1
command -v mandoc >/dev/null || skip_all "mandoc is missing"
pages=$(ls ./*.[1-8] 2>/dev/null | sed 's|^\./||')
[ -n "$pages" ] || skip_all "there is no man page"

for page in $pages; do
	ok "$page is well-formed" mandoc -T lint -W warning "$page"
	ok "$page is installed" grep -qF "doc/$page" "$WBC_SRC/doc/local.mk"
done
done_testing
