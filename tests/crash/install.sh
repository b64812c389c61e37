#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# install.sh DIR: installs the library and the programs into DIR/inst, and
# links DIR/victim with that library, as a user would.
set -eu

dir=$1
# The make that runs the tests has orders that are not meant for this one.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES || :
make -s -C "$WBC_BUILD" libdir="$dir/inst/lib" bindir="$dir/inst/bin" \
	includedir="$dir/inst/include" install-libLTLIBRARIES \
	install-includeHEADERS install-binPROGRAMS >"$dir/install.log" 2>&1 || {
	sed 's/^/# /' "$dir/install.log"
	exit 1
}
cd "$WBC_SRC/tests/crash"
${CC:-cc} -std=gnu11 -O2 -g -pthread -I"$dir/inst/include" -I"$WBC_SRC" \
	-o "$dir/victim" victim.c ops.c bad.c \
	-L"$dir/inst/lib" -Wl,-rpath,"$dir/inst/lib" -lwbcshm
