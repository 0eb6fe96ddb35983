// Holes that are filled when they are touched: userfaultfd and the thread that answers it. All need the lock.
#pragma once

#include "registry.h"

namespace nvm {

// Whether faults can be answered, those inside system calls included; tries to begin with it the first time.
bool can_answer_faults();
// From now on the first touch of [start, end), anonymous memory of `mapping`, fills it. 0, or -1 with errno.
int watch(uintptr_t start, uintptr_t end);

}  // namespace nvm
