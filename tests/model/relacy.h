#ifndef SHMD_TESTS_MODEL_RELACY_H_
#define SHMD_TESTS_MODEL_RELACY_H_

// Relacy, without the macros that it puts in the place of words of the language
// and of the standard library. Comes after everything else that is included.

#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

#endif  // SHMD_TESTS_MODEL_RELACY_H_
