// Errors of system calls: what C++ code hands up, and how it becomes a JavaScript Error.
#pragma once

#include <node_api.h>

#include <string>

namespace nvmfs {

// A failed call: a positive errno and one line that names the path or address and the call.
struct SystemError {
  int number = 0;
  std::string message;

  explicit operator bool() const { return number != 0; }
};

// "WHAT: No space left on device" with the given errno.
SystemError system_error(int number, const std::string& what);

// Throws a JavaScript Error with that message and the properties `errno` (positive) and `code` ('ENOSPC').
void throw_error(napi_env env, const SystemError& error);

// Creates that Error without throwing it.
napi_value make_error(napi_env env, const SystemError& error);

// Throws a RangeError: the TypeScript side called with arguments that its own assertions should have stopped.
void throw_bad_arguments(napi_env env, const char* function);

}  // namespace nvmfs
