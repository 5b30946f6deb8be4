// Functions that have to be inlined, so that they are compiled for the processor that their caller
// is compiled for.
#pragma once

#define EPLB_INLINE inline __attribute__((always_inline))
