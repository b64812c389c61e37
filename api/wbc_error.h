/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Errors and versions.  Included by wbcshm.h. */
#ifndef WBC_ERROR_H
#define WBC_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WBC_API __attribute__((visibility("default")))
#else
#define WBC_API
#endif

/* Errors for which errno has no fitting number.  Values never change. */
#define WBC_E_TYPE (-10001)      /* a value or column is of another type */
#define WBC_E_RACE (-10002)      /* somebody else was first; read again */
#define WBC_E_UNKNOWN (-10003)   /* the database's value is not known yet */
#define WBC_E_NOFLUSHER (-10004) /* no flusher serves the segment */
#define WBC_E_COLUMN (-10005)    /* the table has no such column */
#define WBC_E_KEY (-10006)       /* a key value is missing, doubled or NULL */
#define WBC_E_TABLE (-10007)     /* the flusher was not told of the table */
#define WBC_E_SCHEMA (-10008)    /* declared differently by somebody else */
#define WBC_E_PARKED (-10009)    /* the table waits for somebody to mend it */
#define WBC_E_REFUSED (-10010)   /* the database refused rows for good */
#define WBC_E_FORMAT (-10011)    /* the file is not a wbcshm segment */
#define WBC_E_LAYOUT (-10012)    /* a segment of another layout or version */
#define WBC_E_CORRUPT (-10013)   /* the segment contradicts itself */
#define WBC_E_BOOT (-10014)      /* a segment from before the last reboot */
#define WBC_E_NAN (-10015)       /* NaN and infinities are not stored */
#define WBC_E_NOROW (-10016)     /* the database has no such row */
#define WBC_E_SPEC (-10017)      /* a table specification does not parse */
#define WBC_E_OWNER (-10018)     /* file of another user, or not a file */
#define WBC_E_JOURNAL (-10019)   /* the journal is not this segment's */
#define WBC_E_JSON (-10020)      /* a json value is no JSON */
#define WBC_E_UTF8 (-10021)      /* a text is not UTF-8, or has a NUL */

/**
 * wbc_strerror() - what an error number means, and what to do
 * @error: what a function of this library returned
 *
 * Progress: wait-free.   Blocks: never.   Fork: safe.
 *
 * Return: a sentence that lives as long as the program; never NULL.
 */
WBC_API const char *wbc_strerror(int error);

/**
 * wbc_error_name() - the symbolic name of an error number
 * @error: what a function of this library returned
 *
 * Progress: wait-free.   Blocks: never.   Fork: safe.
 *
 * Return: for example "WBC_E_TYPE" or "ENOSPC"; "?" if it has none.
 */
WBC_API const char *wbc_error_name(int error);

/**
 * wbc_version() - the version of the library in use, for example "0.1.0"
 *
 * Progress: wait-free.   Blocks: never.   Fork: safe.
 *
 * Return: a string that lives as long as the program.
 */
WBC_API const char *wbc_version(void);

#ifdef __cplusplus
}
#endif

#endif
