# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# Man pages, installed by their section's number.  tests/abi/man.sh has
# mandoc read each.
dist_man_MANS += \
	doc/wbc-flusher.8 \
	doc/wbc-flusher.conf.5 \
	doc/wbc-shmctl.1 \
	doc/wbc-shmdump.1

EXTRA_DIST += doc/layout.md doc/ordering.md doc/promises.md doc/trust.md
