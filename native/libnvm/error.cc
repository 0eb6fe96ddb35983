#include "error.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "nvm.h"

namespace nvm {

namespace {
__thread char message[256];
}

int fail(int number, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  errno = number;
  return -1;
}

}  // namespace nvm

extern "C" const char* nvm_error(void) { return nvm::message; }
