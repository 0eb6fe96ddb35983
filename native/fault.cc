#include "fault.h"

#include <signal.h>

#include <mutex>

namespace nvmfs {

thread_local FaultGuard* active_guard __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

struct sigaction previous_action;

bool has_handler(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

// Not ours: behave as if this handler did not exist. With the default action restored, returning repeats the access
// and the process ends with SIGBUS as it would have.
void chain(int signal_number, siginfo_t* info, void* context) {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal_number, info, context);
  } else if (has_handler(previous_action)) {
    previous_action.sa_handler(signal_number);
  } else {
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0) raise(signal_number);  // sent by kill(2): no access will repeat it
  }
}

// Where in the guarded ranges an access failed, null when it was elsewhere.
const uint8_t* find_fault(const FaultGuard& guard, const siginfo_t& info) {
  const auto address = reinterpret_cast<uintptr_t>(info.si_addr);
  if (info.si_code == BUS_MCEERR_AR) {
    // The low bits mean nothing: the least significant one that does is told, 12 for a page, 21 for a huge page.
    const unsigned shift = info.si_addr_lsb > 0 && info.si_addr_lsb < 48 ? static_cast<unsigned>(info.si_addr_lsb) : 12;
    const uintptr_t size = uintptr_t{1} << shift;
    return guard.find(reinterpret_cast<const uint8_t*>(address & ~(size - 1)), size);
  }
  // A flush names the line, which may begin before the range.
  constexpr uintptr_t kFlushed = 64;
  const uint8_t* found = guard.find(reinterpret_cast<const uint8_t*>(address), 1);
  return found != nullptr ? found : guard.find(reinterpret_cast<const uint8_t*>(address & ~(kFlushed - 1)), kFlushed);
}

void on_sigbus(int signal_number, siginfo_t* info, void* context) {
  FaultGuard* guard = active_guard;
  // Poison that nobody has touched yet: there is no access to abandon, and whoever touches it is told then.
  if (info->si_code == BUS_MCEERR_AO && !has_handler(previous_action)) return;
  const bool synchronous = info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
  const uint8_t* fault = guard == nullptr || !synchronous ? nullptr : find_fault(*guard, *info);
  if (fault == nullptr) return chain(signal_number, info, context);
  guard->fault = fault;
  siglongjmp(guard->resume, 1);
}

}  // namespace

void install_fault_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_action);
  });
}

}  // namespace nvmfs
