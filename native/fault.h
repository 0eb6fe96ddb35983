// Guarded access to mapped memory: a SIGBUS (poisoned page, truncated file, full host) becomes a return value.
#pragma once

#include <setjmp.h>

#include <cstddef>
#include <cstdint>

namespace nvmfs {

// The mapped ranges that a guarded body may touch, and where to go when one of them faults.
struct FaultGuard {
  const uint8_t* begin[2];
  const uint8_t* end[2];
  // Set by the signal handler: the address whose access failed, or the first of this range on the page that failed.
  const uint8_t* volatile fault;
  sigjmp_buf resume;

  // Where a fault of the page [page, page + bytes) lies in the ranges; null when it is none of theirs. Not the address
  // alone: for poison the kernel tells the start of the page, or of the huge page.
  const uint8_t* find(const uint8_t* page, size_t bytes) const {
    for (int i = 0; i < 2; i++) {
      if (page < end[i] && page + bytes > begin[i]) return page > begin[i] ? page : begin[i];
    }
    return nullptr;
  }
};

// The guard of the running thread, null outside of guarded code. The initial-exec model makes the access a single
// instruction and safe inside a signal handler.
extern thread_local FaultGuard* active_guard __attribute__((tls_model("initial-exec")));

// Installs the SIGBUS handler once per process. Faults outside of guarded ranges go to the handler that was there before.
void install_fault_handler();

// Runs body(), which touches the ranges of `guard` and owns nothing that needs a destructor.
// Guards do not nest: a body maps nothing and calls nothing that is guarded itself.
// Returns false when an access faulted; guard.fault is the address then, and the body was left half-way.
// The signal mask is not saved (that would be a system call); the handler runs with SA_NODEFER instead.
template <typename Body>
__attribute__((noinline)) bool guarded(FaultGuard& guard, const Body& body) {
  if (sigsetjmp(guard.resume, 0) != 0) {
    active_guard = nullptr;
    return false;
  }
  active_guard = &guard;
  body();
  // The compiler must not move the body's accesses past the end of the guarded section.
  asm volatile("" ::: "memory");
  active_guard = nullptr;
  return true;
}

}  // namespace nvmfs
