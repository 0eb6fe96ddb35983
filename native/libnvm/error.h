// Why the last call of a thread failed, in words.
#pragma once

namespace nvm {

// Sets errno and what nvm_error() returns; printf's format. Returns -1.
__attribute__((format(printf, 2, 3))) int fail(int number, const char* format, ...);

}  // namespace nvm
