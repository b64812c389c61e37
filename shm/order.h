/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The only atomics of the segment.
 *
 * A call says which order it needs; the comment beside it names the edge:
 * "ORDER name, release: ..." at one end, "ORDER name, acquire: ..." at the
 * other.  `git grep 'ORDER name'` shows the whole edge, doc/ordering.md says
 * what each protects.  order_load() and order_store() are relaxed: the caller
 * says why that is enough.
 *
 * All take a pointer to an _Atomic of 32 or 64 bits.
 */
#ifndef WBCI_ORDER_H
#define WBCI_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics need a lock here");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics need a lock here");

typedef _Atomic uint64_t order_u64;
typedef _Atomic uint32_t order_u32;

#define order_load(p) atomic_load_explicit((p), memory_order_relaxed)
#define order_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define order_load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)

#define order_store(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define order_release(p, v)                                                    \
	atomic_store_explicit((p), (v), memory_order_release)

/* Read-modify-writes: as their ending says; with none, acquire and release. */
#define order_add_relaxed(p, v)                                                \
	atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define order_add_release(p, v)                                                \
	atomic_fetch_add_explicit((p), (v), memory_order_release)
#define order_add(p, v)                                                        \
	atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define order_add_seq(p, v)                                                    \
	atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define order_or_relaxed(p, v)                                                 \
	atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define order_or(p, v)                                                         \
	atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define order_and_relaxed(p, v)                                                \
	atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define order_and(p, v)                                                        \
	atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define order_xchg(p, v)                                                       \
	atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define order_xchg_relaxed(p, v)                                               \
	atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define order_xchg_release(p, v)                                               \
	atomic_exchange_explicit((p), (v), memory_order_release)
#define order_xchg_acquire(p, v)                                               \
	atomic_exchange_explicit((p), (v), memory_order_acquire)
#define order_xchg_seq(p, v)                                                   \
	atomic_exchange_explicit((p), (v), memory_order_seq_cst)

/* A failed compare-and-swap leaves the value found in *(expected). */
#define order_cas(p, expected, v)                                              \
	atomic_compare_exchange_strong_explicit((p), (expected), (v),          \
	                                        memory_order_acq_rel,          \
	                                        memory_order_acquire)
/* One that fails is relaxed, where only success hands something over. */
#define order_cas_acquire(p, expected, v)                                      \
	atomic_compare_exchange_strong_explicit((p), (expected), (v),          \
	                                        memory_order_acquire,          \
	                                        memory_order_relaxed)
#define order_cas_release(p, expected, v)                                      \
	atomic_compare_exchange_strong_explicit((p), (expected), (v),          \
	                                        memory_order_release,          \
	                                        memory_order_relaxed)
#define order_cas_relaxed(p, expected, v)                                      \
	atomic_compare_exchange_strong_explicit((p), (expected), (v),          \
	                                        memory_order_relaxed,          \
	                                        memory_order_relaxed)
#define order_cas_seq(p, expected, v)                                          \
	atomic_compare_exchange_strong_explicit((p), (expected), (v),          \
	                                        memory_order_seq_cst,          \
	                                        memory_order_seq_cst)

/* Keeps the compiler from moving accesses; the processor may still. */
#define order_compiler() atomic_signal_fence(memory_order_seq_cst)

/*
 * ThreadSanitizer does not understand fences.  Where one decides, the build
 * for it uses read-modify-writes on the words concerned instead.
 */
#ifdef WBC_TSAN
#define order_fence() ((void)0)
#else
#define order_fence() atomic_thread_fence(memory_order_seq_cst)
#endif

#endif
