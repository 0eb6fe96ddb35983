// Puts pages of the image, or none, behind the addresses of a mapping. All need the lock.
#pragma once

#include "registry.h"

namespace nvm {

// Maps the written extents in [start, end) that are not there yet. 0, or -1 with errno: EOPNOTSUPP where one is not made of whole units of the medium.
int place_written(Mapping& mapping, uintptr_t start, uintptr_t end);
// Fills the holes in [start, end), of at most 2 MiB, and maps what is there then: up to the end of the file. 0, or -1 with errno.
int place_filled(Mapping& mapping, uintptr_t start, uintptr_t end);
// From now on a touch of [start, end) is SIGBUS. 0, or -1 with errno.
int place_dead(Mapping& mapping, uintptr_t start, uintptr_t end);
// The size of the file, as the server knows it. 0, or -1 with errno.
int file_size(const Mapping& mapping, uint64_t& size);

}  // namespace nvm
