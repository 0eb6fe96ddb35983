#include "fault.h"

#include <signal.h>

#include <mutex>

namespace nvmfs {

thread_local FaultGuard* active_guard __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

struct sigaction previous_action;

// Not ours: behave as if this handler did not exist. With the default action restored, returning repeats the access
// and the process ends with SIGBUS as it would have.
void chain(int signal_number, siginfo_t* info, void* context) {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal_number, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal_number);
  } else {
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0) raise(signal_number);  // sent by kill(2): no access will repeat it
  }
}

void on_sigbus(int signal_number, siginfo_t* info, void* context) {
  FaultGuard* guard = active_guard;
  const uint8_t* address = static_cast<const uint8_t*>(info->si_addr);
  // BUS_MCEERR_AO reports poison that nobody has touched yet: there is no access to abandon.
  const bool synchronous = info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
  if (guard == nullptr || !synchronous || !guard->covers(address)) return chain(signal_number, info, context);
  guard->fault = address;
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
