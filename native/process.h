// Running a helper program and reading what it complains about.
#pragma once

#include <string>
#include <vector>

namespace nvmfs {

struct ProcessResult {
  // errno of a failed start (ENOENT: not installed), else 0.
  int start_errno = 0;
  // Exit status, or -1 if it was killed by a signal.
  int exit_status = -1;
  // Standard error, its lines joined by "; ".
  std::string complaint;

  bool succeeded() const { return start_errno == 0 && exit_status == 0; }
};

// A started helper. `inherited` is a descriptor (or -1) that the program sees under the same number, with
// `environment` ("NAME=value", or empty) added to its environment. The program is found in PATH.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, int inherited, const std::string& environment);
  // Waits for its end.
  ProcessResult finish();

 private:
  ProcessResult result_;
  int pid_ = -1;
  int stderr_ = -1;
};

}  // namespace nvmfs
