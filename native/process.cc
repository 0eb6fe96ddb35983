#include "process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace nvmfs {

namespace {

constexpr size_t kMaxComplaint = 4096;

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, int inherited, const std::string& environment) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    result_.start_errno = errno;
    return;
  }
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; variable++) variables.push_back(*variable);
  if (!environment.empty()) variables.push_back(environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 2);
  // To itself: takes close-on-exec off, in the child only.
  if (inherited >= 0) posix_spawn_file_actions_adddup2(&actions, inherited, inherited);
  result_.start_errno = posix_spawnp(&pid_, arguments[0].c_str(), &actions, nullptr, pointers(arguments).data(),
                                     pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  stderr_ = pipe_ends[0];
}

ProcessResult Process::finish() {
  char buffer[512];
  ssize_t length = 0;
  while (stderr_ >= 0 && result_.start_errno == 0) {
    length = read(stderr_, buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    if (result_.complaint.size() < kMaxComplaint) result_.complaint.append(buffer, static_cast<size_t>(length));
  }
  if (stderr_ >= 0) close(stderr_);
  stderr_ = -1;
  if (result_.start_errno != 0) return result_;
  int status = 0;
  pid_t waited;
  do {
    waited = waitpid(pid_, &status, 0);
  } while (waited < 0 && errno == EINTR);
  if (waited == pid_ && WIFEXITED(status)) result_.exit_status = WEXITSTATUS(status);
  while (!result_.complaint.empty() && result_.complaint.back() == '\n') result_.complaint.pop_back();
  for (size_t at; (at = result_.complaint.find('\n')) != std::string::npos;) result_.complaint.replace(at, 1, "; ");
  return result_;
}

}  // namespace nvmfs
