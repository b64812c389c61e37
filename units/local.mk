# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# Below everything, and used by programs only: the tools and the flusher.
noinst_LTLIBRARIES += units/libunits.la
units_libunits_la_SOURCES = \
	units/moment.c \
	units/moment.h \
	units/units.c \
	units/units.h
