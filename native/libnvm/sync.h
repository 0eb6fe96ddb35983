// Making durable what was stored through mappings.
#pragma once

#include <cstdint>

namespace nvm {

// Of [start, end); what is not known here is left to msync(2) with `flags`. 0, or -1 with errno.
int sync_range(uintptr_t start, uintptr_t end, int flags);

}  // namespace nvm
